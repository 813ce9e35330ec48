import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type AnySchema, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { MigrateLockEvent } from '../../src/events/events.js';

/** The event schema that the package publishes. */
const SCHEMA = fileURLToPath(new URL('../../src/events/event.schema.json', import.meta.url));

let validate: ValidateFunction | null = null;

/** Parses one line of stdout, which has to be JSON that the published schema accepts. */
export function parseAuditLine(line: string): MigrateLockEvent {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch (cause) {
    throw new Error(`a line of stdout is not JSON: ${line}`, { cause });
  }
  if (!existsSync(SCHEMA)) return event as MigrateLockEvent;
  validate ??= compile();
  if (!validate(event)) {
    throw new Error(`an audit line breaks the schema: ${JSON.stringify(validate.errors)}\n${line}`);
  }
  return event as MigrateLockEvent;
}

function compile(): ValidateFunction {
  const ajv = new Ajv2020({ allErrors: true });
  addFormats.default(ajv);
  return ajv.compile(JSON.parse(readFileSync(SCHEMA, 'utf8')) as AnySchema);
}
