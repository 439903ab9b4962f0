"""A function without libraries for functions."""

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import boto3
import psycopg
import valkey
from psycopg.rows import dict_row

USER = "directory_reader"
PAGE = 50
COURSE, ADVISORS = ((Path(__file__).parent / f"{name}.sql").read_text() for name in ("course", "advisors"))

settings = json.loads(os.environ["SETTINGS"])
reader = settings["reader"]
rds = boto3.client("rds", region_name=settings["region"])
database: psycopg.Connection | None = None
cache = valkey.Valkey(
    settings["cache"]["host"],
    settings["cache"]["port"],
    username=settings["cache"]["user"],
    password="-",
    ssl=True,
    ssl_ca_certs=os.environ["SSL_CERT_FILE"],
)


def query(statement: str, *parameters: str) -> list[dict[str, Any]]:
    global database
    if database is None or database.closed:
        database = psycopg.connect(
            host=reader["host"],
            port=reader["port"],
            dbname=settings["database"],
            user=USER,
            password=rds.generate_db_auth_token(reader["host"], reader["port"], USER),
            sslmode="verify-full",
            sslrootcert=os.environ["SSL_CERT_FILE"],
            autocommit=True,
            cursor_factory=psycopg.RawCursor,
            row_factory=dict_row,
        )
    return database.execute(statement, parameters).fetchall()


def course(course_id: str) -> dict[str, Any] | None:
    rows = query(COURSE, course_id)
    if not rows:
        return None
    row = rows[0]
    names = zip(row["advisor_ids"], row["given_names"], row["family_names"], strict=True)
    return {
        "id": row["id"],
        "title": row["title"],
        "credits": row["credits"],
        "department": {"id": row["department"], "name": row["department_name"]},
        "description": row["description"],
        "advisors": [{"id": id, "given_name": given, "family_name": family} for id, given, family in names],
    }


def advisors() -> dict[str, Any]:
    rows = query(ADVISORS)
    page: dict[str, Any] = {
        "advisors": [
            {
                name: row[name]
                for name in ("id", "given_name", "family_name", "email", "office")
                if row[name] is not None
            }
            | {
                "departments": [
                    {"id": id, "name": name}
                    for id, name in zip(row["department_ids"], row["department_names"], strict=True)
                ]
            }
            for row in rows[:PAGE]
        ]
    }
    if len(rows) > PAGE:
        last = rows[PAGE - 1]
        page["next"] = urlsafe_b64encode(f"{last['folded_name']}\0{last['id']}".encode()).decode().rstrip("=")
    return page


def load(path: str) -> str | None:
    found = advisors() if path == "/advisors" else course(path.removeprefix("/courses/"))
    return found and json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def read(path: str) -> str | None:
    if kept := cache.get(path):
        return kept.decode()
    body = load(path)
    if body:
        cache.set(path, body, ex=60)
    return body


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    body = read(event["rawPath"])
    return {
        "statusCode": 200 if body else 404,
        "headers": {"content-type": "application/json"},
        "body": body or '{"code":"NOT_FOUND"}',
    }
