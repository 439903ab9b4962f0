// Encodes the cases on standard input, one JSON object a line, with the official Node client; writes one line of hexadecimal digits for each.
'use strict';
const root = '@amazon-dax-sdk/client-dax/src/';
const AttributeValueEncoder = require(root + 'AttributeValueEncoder');
const {CborSExprGenerator} = require(root + 'CborSExprGenerator');

// Binary values are hexadecimal in the cases.
function value(described) {
  const [[kind, content]] = Object.entries(described);
  switch(kind) {
    case 'B': return {B: Buffer.from(content, 'hex')};
    case 'BS': return {BS: content.map((one) => Buffer.from(one, 'hex'))};
    case 'L': return {L: content.map(value)};
    case 'M': return {M: values(content)};
    default: return described;
  }
}

function values(described) {
  return Object.fromEntries(Object.entries(described).map(([name, one]) => [name, value(one)]));
}

function encode(described) {
  if(described.case === 'value') {
    return AttributeValueEncoder.encodeAttributeValue(value(described.value));
  }
  if(described.case === 'key') {
    const schema = described.schema.map(([name, kind]) => ({AttributeName: name, AttributeType: kind}));
    return AttributeValueEncoder.encodeKey(values(described.item), schema);
  }
  const purposes = ['Condition', 'KeyCondition', 'Filter', 'Update', 'Projection'];
  const texts = purposes.map((purpose) => purpose === described.purpose ? described.text : null);
  return CborSExprGenerator.encodeExpressions(...texts, described.names, values(described.values))[described.purpose];
}

for(const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) {
  try {
    console.log(encode(JSON.parse(line)).toString('hex'));
  } catch(error) {
    console.log(`error: ${error}`.replace(/\s+/g, ' '));
  }
}
