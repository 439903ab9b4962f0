// What the peers in Node have in common: two of the directory's reads, from Postgres, with Valkey in front.

import { readFileSync } from "node:fs";
import { Signer } from "@aws-sdk/rds-signer";
import { Redis } from "ioredis";
import pg from "pg";

const [COURSE, ADVISORS] = ["course", "advisors"].map((name) =>
  readFileSync(new URL(`${name}.sql`, import.meta.url), "utf8"),
);
const USER = "directory_reader";
const PAGE = 50;

export function connect({ reader: { host, port }, database, cache, region }, connections) {
  const signer = new Signer({ hostname: host, port, username: USER, region });
  const password = () => signer.getAuthToken();
  const pool = new pg.Pool({ host, port, database, user: USER, password, ssl: true, max: connections });
  // The pool replaces a connection that the server has closed.
  pool.on("error", () => {});
  return {
    database: pool,
    cache: cache && new Redis({ host: cache.host, port: cache.port, username: cache.user, password: "-", tls: {} }),
  };
}

async function course(database, id) {
  const { rows } = await database.query(COURSE, [id]);
  if (rows.length === 0) return undefined;
  const { title, credits, department, department_name, description, advisor_ids, given_names, family_names } = rows[0];
  return {
    id,
    title,
    credits,
    department: { id: department, name: department_name },
    description,
    advisors: advisor_ids.map((id, index) => ({
      id,
      given_name: given_names[index],
      family_name: family_names[index],
    })),
  };
}

async function advisors(database) {
  const { rows } = await database.query(ADVISORS);
  const page = rows.slice(0, PAGE);
  const last = rows.length > PAGE ? page.at(-1) : undefined;
  return {
    advisors: page.map(({ id, given_name, family_name, email, office, department_ids, department_names }) => ({
      id,
      given_name,
      family_name,
      email,
      office: office ?? undefined,
      departments: department_ids.map((id, index) => ({ id, name: department_names[index] })),
    })),
    next: last && Buffer.from(`${last.folded_name}\0${last.id}`).toString("base64url"),
  };
}

// The JSON at this path; undefined if there is none.
export async function load(database, path) {
  const [, collection, id] = path.split("/");
  if (collection === "advisors" && !id) return JSON.stringify(await advisors(database));
  if (collection === "courses" && id) return JSON.stringify(await course(database, id));
  return undefined;
}

export async function read({ database, cache }, path) {
  const kept = await cache?.get(path);
  if (kept) return kept;
  const body = await load(database, path);
  if (body) await cache?.set(path, body, "EX", 60);
  return body;
}

export function answer(body) {
  return {
    statusCode: body ? 200 : 404,
    headers: { "content-type": "application/json" },
    body: body ?? JSON.stringify({ code: "NOT_FOUND" }),
  };
}
