import { DEFINITION, type SchemaDefinition } from '../../../src/schema/apply.js';

/** 2026-01-01T00:00:00Z: the model's clock counts microseconds from here. */
export const CLOCK_BASE_MS = Date.UTC(2026, 0, 1);

const CLOCK = 'clock_timestamp()';
const MODEL_CLOCK = '"migrate_lock".model_clock()';

/** A sequence is seen by every session at once, in any transaction: like a clock. */
const CLOCK_SQL = `
CREATE SEQUENCE "migrate_lock".model_clock_us MINVALUE 0;
CREATE FUNCTION "migrate_lock".model_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $body$
    SELECT timestamptz '2026-01-01 00:00:00Z' + last_value * interval '1 microsecond' FROM "migrate_lock".model_clock_us
$body$;`;

/** One change of the product's SQL: the line with `-- mark: NAME` is replaced. */
export interface Edit {
  mark: string;
  to: string;
}

/** A change of the product's SQL that breaks it. */
export interface Mutation {
  name: string;
  edits: readonly Edit[];
}

/** The product's SQL with the model's clock, and with a mutation's change. */
export function modelDefinition(mutation?: Mutation): SchemaDefinition {
  const steps = DEFINITION.steps.map(({ version, files }) => ({
    version,
    files: files.flatMap(({ name, sql }) => {
      const file = { name, sql: sql.replaceAll(CLOCK, MODEL_CLOCK) };
      return name.endsWith('/schema.sql') ? [file, { name: 'model-clock.sql', sql: CLOCK_SQL }] : [file];
    }),
  }));
  let functions = DEFINITION.functions;
  for (const edit of mutation?.edits ?? []) functions = mutate(functions, edit);
  functions = functions.map(({ name, sql }) => ({ name, sql: sql.replaceAll(CLOCK, MODEL_CLOCK) }));
  return { ...DEFINITION, steps, functions };
}

function mutate(files: SchemaDefinition['functions'], { mark, to }: Edit): SchemaDefinition['functions'] {
  const line = new RegExp(`^.*-- mark: ${mark}$`, 'm');
  if (files.filter(({ sql }) => line.test(sql)).length !== 1)
    throw new Error(`there is no mark ${mark}, or more than one`);
  return files.map(({ name, sql }) => ({ name, sql: sql.replace(line, () => to) }));
}
