// Makes calls with the official Node client through DAX_ENDPOINT. Reads one JSON array of operation and parameters a line, and writes one outcome a
// line, in the form of clients.py. With DAX_ADDRESS, the endpoint's name has this address.
'use strict';
const dns = require('dns');
const net = require('net');
const readline = require('readline');
const {Dax} = require('@amazon-dax-sdk/client-dax');

function received(value) {
  if(Array.isArray(value)) {
    return value.map(received);
  }
  if(value && typeof value === 'object') {
    if('__bytes' in value) {
      return Buffer.from(value.__bytes, 'base64');
    }
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, received(one)]));
  }
  return value;
}

function sent(value) {
  if(value instanceof Uint8Array) {
    return Buffer.from(value).toString('base64');
  }
  if(Array.isArray(value)) {
    return value.map(sent);
  }
  if(value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined).map(([name, one]) => [name, sent(one)]));
  }
  return value;
}

function nameEndpoint(address) {
  const kind = net.isIPv6(address) ? 'AAAA' : 'A';
  dns.resolve = (name, wanted, callback) => callback(null, wanted === kind ? [address] : []);
}

async function main() {
  if(process.env.DAX_ADDRESS) {
    nameEndpoint(process.env.DAX_ADDRESS);
  }
  const dax = new Dax({endpoint: process.env.DAX_ENDPOINT, region: process.env.AWS_DEFAULT_REGION});
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [name, parameters] = received(JSON.parse(line));
    const method = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    let outcome;
    try {
      outcome = sent(await dax[method](parameters));
    } catch(error) {
      outcome = {error: error.name === 'Error' ? error.code : (error.code || error.name), message: error.message};
    }
    console.log(JSON.stringify(outcome));
  }
  process.exit(0);
}

main();
