// validate.js SPDX-SCHEMA CYCLONEDX-FOLDER FILE...
const fs = require('fs'), path = require('path');
const Ajv = require('ajv').default;
const [, , spdx, folder, ...files] = process.argv;
const read = (file) => JSON.parse(fs.readFileSync(file));
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
require('ajv-formats').default(ajv);
require('ajv-formats-draft2019')(ajv);
for (const name of fs.readdirSync(folder)) {
  if (/^(spdx|jsf|cryptography).*\.schema\.json$/.test(name)) ajv.addSchema({ ...read(path.join(folder, name)), $id: 'http://cyclonedx.org/schema/' + name });
}
const schemas = { spdx: ajv.compile(read(spdx)), cdx: ajv.compile(read(path.join(folder, 'bom-1.6.SNAPSHOT.schema.json'))) };
let wrong = files.length === 0;
for (const file of files) {
  const validate = schemas[file.endsWith('.cdx.json') ? 'cdx' : 'spdx'];
  const good = validate(read(file));
  console.log(good ? 'valid' : 'WRONG', path.basename(file), good ? '' : JSON.stringify(validate.errors.slice(0, 5)));
  wrong ||= !good;
}
process.exit(wrong ? 1 : 0);
