// Writes docs/events.md from src/events/event.schema.json.
// `node scripts/describe-events.mjs` writes it, with --check it fails when that file is not up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SCHEMA = fileURLToPath(new URL('../src/events/event.schema.json', import.meta.url));
const TARGET = fileURLToPath(new URL('../docs/events.md', import.meta.url));

/**
 * @typedef {object} Part the used subset of a JSON Schema
 * @property {string} [$ref]
 * @property {Part[]} [anyOf]
 * @property {string | string[]} [type]
 * @property {string} [description]
 * @property {Record<string, Part>} [properties]
 * @property {string[]} [required]
 * @property {Part} [items]
 * @property {string[]} [enum]
 *
 * @typedef {{ properties: Record<string, Part>, oneOf: { $ref: string }[], $defs: Record<string, Part> }} EventSchema
 */

/**
 * @param {EventSchema} schema
 * @param {string} current the document as it is, with the event that the program wrote (`npm run screens`)
 */
export function describeEvents(schema, current) {
  const [shown = ''] = /<!-- screen: event -->\n```json\n.*\n```/.exec(current) ?? [];
  const common = Object.keys(schema.properties);
  const rows = schema.oneOf.map((part) => {
    const { description = '', properties = {}, required = [] } = referred(schema, part);
    const own = Object.entries(properties).filter(([field]) => !common.includes(field));
    const fields = own.map(([field, type]) => describeField(schema, field, type, required.includes(field)));
    return row([`\`${nameOf(part)}\``, description, fields.join(', ')]);
  });
  const fields = Object.entries(schema.properties).map(([field, part]) =>
    row([`\`${field}\``, part.description ?? referred(schema, part).description ?? '']),
  );
  const outcomes = (schema.$defs.outcome?.enum ?? []).map((outcome) => `\`${outcome}\``).join(', ');
  return `<!-- Written by scripts/describe-events.mjs from src/events/event.schema.json. Change that file. -->

# Events

\`migrate-lock run\` writes one JSON object a line to stdout: its events. \`init\` writes \`schema.applied\` when it created or upgraded the lock
schema, and \`wait\` its two. Nothing else goes to stdout, unless you ask for it (\`--child-stdout stdout\`). People read stderr.

${shown}

The JSON Schema of all events is in the package, as \`migrate-lock/event.schema.json\`. Within a version (\`v\`) fields may be added, never
removed or changed: leave out what you do not know. Durations end in \`Ms\` and are in milliseconds. Times are ISO 8601, in UTC.

## Fields of every event

| field | |
| --- | --- |
${fields.join('\n')}

## Events and their own fields

| event | when | its own fields |
| --- | --- | --- |
${rows.join('\n')}

A field with a question mark is not always there.

\`outcome\` is one of ${outcomes}. \`completed\`: the command ended by itself, whatever its exit code.
\`skipped\`: there was nothing to do for its run key. \`conflict\`: the lock was not acquired in time.

## Events and the history

The database keeps the history of the lock in \`migrate_lock.migration_lock_audit\`. \`auditHash\` is the hash of the event's row there: see
[Verify the history](operations.md#verify-the-history).
`;
}

/**
 * `sessions` (`pid`, `role` or null), `hint`?
 *
 * @param {EventSchema} schema
 * @param {string} name
 * @param {Part} type
 * @param {boolean} isRequired
 */
function describeField(schema, name, type, isRequired) {
  const list = [type, ...(type.anyOf ?? [])].find(({ items }) => items !== undefined);
  const inner = Object.entries(list?.items?.properties ?? {}).map(
    ([field, part]) => `\`${field}\`${orNull(schema, part)}`,
  );
  const about = inner.length > 0 ? ` (${inner.join(', ')})` : '';
  return `\`${name}\`${isRequired ? '' : '?'}${orNull(schema, type)}${about}`;
}

/**
 * @param {EventSchema} schema
 * @param {Part} part
 */
function orNull(schema, part) {
  const { type = '', anyOf = [] } = referred(schema, part);
  return type.includes('null') || anyOf.some((choice) => choice.type === 'null') ? ' or null' : '';
}

/**
 * @param {EventSchema} schema
 * @param {Part} part
 */
function referred(schema, part) {
  return schema.$defs[nameOf(part)] ?? part;
}

/** @param {Part} part */
function nameOf({ $ref = '' }) {
  return $ref.slice('#/$defs/'.length);
}

/** @param {string[]} cells */
function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const current = readFileSync(TARGET, 'utf8');
  const text = describeEvents(JSON.parse(readFileSync(SCHEMA, 'utf8')), current);
  if (!process.argv.includes('--check')) writeFileSync(TARGET, text);
  else if (current !== text) {
    console.error(
      'docs/events.md is not what src/events/event.schema.json says: node scripts/describe-events.mjs',
    );
    process.exitCode = 1;
  }
}
