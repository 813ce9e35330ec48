import { DEFINITION, type SchemaDefinition } from '../../src/schema/apply.js';

/** 2026-01-01T00:00:00Z: the model's clock counts microseconds from here. */
export const CLOCK_BASE_MS = Date.UTC(2026, 0, 1);

const CLOCK = 'clock_timestamp()';
const MODEL_CLOCK = '"migrate_lock".model_clock()';

/** A sequence is seen by every session at once, whatever transaction it is in: as a clock is. */
const CLOCK_SQL = `
CREATE SEQUENCE "migrate_lock".model_clock_us MINVALUE 0;
CREATE FUNCTION "migrate_lock".model_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $body$
    SELECT timestamptz '2026-01-01 00:00:00Z' + last_value * interval '1 microsecond' FROM "migrate_lock".model_clock_us
$body$;`;

/** A change of the product's SQL that breaks it: `from` has to be there, exactly once. */
export interface Mutation {
  name: string;
  /** The end of the file's name in sql/functions, for all edits that name no other. */
  file: string;
  edits: readonly { from: string; to: string; file?: string }[];
}

/** The product's own text but for the clock, which the model moves, and for what a mutation breaks. */
export function modelDefinition(mutation?: Mutation): SchemaDefinition {
  const steps = DEFINITION.steps.map(({ version, files }) => ({
    version,
    files: files.flatMap(({ name, sql }) => {
      const file = { name, sql: sql.replaceAll(CLOCK, MODEL_CLOCK) };
      return name.endsWith('-schema.sql') ? [file, { name: 'model-clock.sql', sql: CLOCK_SQL }] : [file];
    }),
  }));
  const functions = DEFINITION.functions.map(({ name, sql }) => ({
    name,
    sql: mutate(name, sql, mutation).replaceAll(CLOCK, MODEL_CLOCK),
  }));
  for (const { file = mutation?.file ?? '' } of mutation?.edits ?? []) {
    if (!functions.some(({ name }) => name.endsWith(file)))
      throw new Error(`${mutation?.name}: there is no file ${file}`);
  }
  return { ...DEFINITION, steps, functions };
}

function mutate(name: string, sql: string, mutation: Mutation | undefined): string {
  return (mutation?.edits ?? []).reduce((text, { from, to, file = mutation?.file ?? '' }) => {
    if (!name.endsWith(file)) return text;
    const parts = text.split(from);
    if (parts.length !== 2)
      throw new Error(`${mutation?.name}: "${from}" is there ${parts.length - 1} times`);
    return parts.join(to);
  }, sql);
}
