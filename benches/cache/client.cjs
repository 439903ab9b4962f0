// Asks through the official client for Node, as `dax-bench` does: node client.cjs ENDPOINT OPERATION REQUESTS.
'use strict';
const {Dax} = require('@amazon-dax-sdk/client-dax');

const key = {advisor_id: {S: 'advisor-17'}, starts_at: {S: '2026-09-01T09:00:00Z'}};
const query = {
  TableName: 'appointments',
  ProjectionExpression: 'starts_at',
  KeyConditionExpression: 'advisor_id = :advisor_id AND starts_at >= :position',
  ExpressionAttributeValues: {':advisor_id': {S: 'advisor-17'}, ':position': {S: '2026-09-01'}},
  Limit: 25,
};

async function main() {
  const [endpoint, operation, count] = process.argv.slice(2);
  const requests = Number(count);
  const start = performance.now();
  const dax = new Dax({endpoint, region: 'us-east-1', credentials: {accessKeyId: 'test', secretAccessKey: 'test'}});
  const ask = operation === 'get'
    ? async () => Object.keys((await dax.getItem({TableName: 'appointments', Key: key})).Item)
    : async () => (await dax.query(query)).Items;
  const found = (await ask()).length;
  const first = performance.now() - start;
  for(let n = 0; n < requests / 10; n++) {
    await ask();
  }
  const before = process.cpuUsage();
  for(let n = 0; n < requests; n++) {
    await ask();
  }
  const {user, system} = process.cpuUsage(before);
  console.log(JSON.stringify({found, first_us: first * 1e3, cpu_us: (user + system) / Math.max(requests, 1)}));
  process.exit(0);
}

main();
