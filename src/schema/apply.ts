import { setTimeout as sleep } from 'node:timers/promises';
import { ABSENT_SCHEMA, classify, errorCode, UNTRUSTED_SCHEMA } from '../db/classify.js';
import type { Database, Session } from '../db/database.js';
import { MigrateLockError } from '../errors.js';
import { CALLS, FUNCTIONS, STEPS } from '../generated/sql.js';
import {
  isUsable,
  readSchemaVersion,
  readSchemaState,
  SCHEMA_VERSION,
  type SchemaState,
} from './schema-version.js';
import { readOwners, refuseForeign, refuseSuperuser, type SchemaOwners } from './owners.js';
import { renderSql } from './render.js';

/** The parts of the schema; tests use those of a later version. */
export interface SchemaDefinition {
  version: number;
  steps: readonly { version: number; files: readonly { name: string; sql: string }[] }[];
  functions: readonly { name: string; sql: string }[];
}

export const DEFINITION: SchemaDefinition = { version: SCHEMA_VERSION, steps: STEPS, functions: FUNCTIONS };

export interface SchemaApplied {
  /** null: it was not there before. */
  fromVersion: number | null;
  toVersion: number;
}

/** How long one attempt to apply the schema may take, and for how long others may finish theirs. */
const APPLY_LIMIT_MS = 20_000;
const READ_LIMIT_MS = 5_000;
const OTHERS_LIMIT_MS = 15_000;
/** After more conflicts than this, the cause is not another session that applies the schema. */
const MOST_CLASHES = 5;
/** An upgrade that cannot have a lock at once gives up, so that polls do not queue behind it. */
const LOCK_TIMEOUT_MS = 200;
/**
 * Errors when another session applies the schema at the same time: unique violation, duplicate table, function, schema; and a missing
 * schema, because this session's cache of names can be updated a moment after the other commit is visible.
 */
const APPLIED_CONCURRENTLY = new Set(['23505', '42P07', '42723', '42P06', '42710', 'XX000', ABSENT_SCHEMA]);

/**
 * Makes sure that the lock schema is there and new enough. Reads its version first; if necessary applies or upgrades it in one transaction.
 * Others that start at the same instant wait at CREATE SCHEMA, the first table or the lock on its version, and read the version again.
 * @returns what was done, or null when nothing had to be.
 * @throws {MigrateLockError} SCHEMA_TOO_NEW, SCHEMA_CONFLICT; otherwise what the database said (see classify()).
 */
export async function ensureSchema(
  database: Database,
  schema: string,
  definition: SchemaDefinition = DEFINITION,
): Promise<SchemaApplied | null> {
  const endsAtMs = performance.now() + OTHERS_LIMIT_MS;
  for (let clashes = 0; ;) {
    const state = await readVersionIfTrusted(database, schema);
    if (isUsable(state, schema, definition.version)) return null;
    let clash: unknown;
    try {
      const applied = await tryToApply(database, schema, definition);
      if (applied !== null) return applied;
    } catch (error) {
      if (classify(error) !== 'contention' && !APPLIED_CONCURRENTLY.has(errorCode(error)))
        throw isForbidden(error) ? forbidden(schema, error) : error;
      clash = error;
      if (classify(error) !== 'contention') clashes++;
    }
    if (performance.now() > endsAtMs || clashes > MOST_CLASHES) throw conflict(schema, clash);
    await sleep(50 + Math.random() * 100);
  }
}

/** A superuser may not call what another role made, and may still create the lock for it. */
async function readVersionIfTrusted(database: Database, schema: string): Promise<SchemaState | null> {
  try {
    return await readSchemaVersion(database, schema, READ_LIMIT_MS);
  } catch (error) {
    if (errorCode(error) === UNTRUSTED_SCHEMA) return null;
    throw error;
  }
}

/** @returns null when another one has applied it since the version was read. */
function tryToApply(
  database: Database,
  schema: string,
  definition: SchemaDefinition,
): Promise<SchemaApplied | null> {
  return database.transaction('apply the lock schema', APPLY_LIMIT_MS, async (session) => {
    await session.unsafe(
      `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL check_function_bodies = off`,
    );
    const owners = await readOwners(session, schema);
    if (owners !== null) await becomeOwner(session, schema, owners);
    const state = owners?.isApplied === true ? await lockVersion(session, schema) : null;
    if (isUsable(state, schema, definition.version)) return null;
    for (const { name, sql } of pending(definition, state)) {
      // A schema that an administrator made for us needs no CREATE right on the database.
      if (owners !== null && name.endsWith('/schema.sql')) continue;
      await session.unsafe(renderSql(sql, schema));
    }
    if (state !== null) await session.unsafe(renderSql(CALLS.grantNewFunctions, schema));
    return { fromVersion: state?.version ?? null, toVersion: definition.version };
  });
}

/** What is created belongs to the schema's owner. A superuser creates objects for another role only where nothing is yet. */
async function becomeOwner(session: Session, schema: string, owners: SchemaOwners): Promise<void> {
  refuseForeign(owners, schema);
  if (!owners.isEmpty) refuseSuperuser(owners, schema);
  if (!owners.canBecomeOwner) throw notOwner(schema, owners.owner);
  await session.unsafe(CALLS.becomeOwner, [owners.owner]);
}

export function notOwner(schema: string, owner: string): MigrateLockError {
  return new MigrateLockError(
    `The schema "${schema}" belongs to ${owner}, and only ${owner} can apply or upgrade the lock in it.`,
    {
      code: 'PERMISSION_DENIED',
      exit: 'denied',
      hint: `Let ${owner} run \`migrate-lock init\` with the newest version that is in use.`,
    },
  );
}

/** Lets one upgrade at a time go on. */
async function lockVersion(session: Session, schema: string): Promise<SchemaState | null> {
  await session.unsafe(renderSql(CALLS.lockVersion, schema));
  const [row] = await session.unsafe<{ answer: unknown }[]>(renderSql(CALLS.readVersion, schema));
  return row === undefined ? null : readSchemaState(row.answer);
}

function pending(
  definition: SchemaDefinition,
  state: SchemaState | null,
): readonly { name: string; sql: string }[] {
  const steps = definition.steps.filter(({ version }) => version > (state?.version ?? 0));
  return [...steps.flatMap(({ files }) => files), ...definition.functions];
}

/** What the server has no word for: an event trigger, or a rule of a provider, that has one of its own. */
function isForbidden(error: unknown): error is Error {
  const code = errorCode(error);
  return error instanceof Error && classify(error) === 'fault' && /^(P0|0A|55|42|23)[0-9A-Z]{3}$/.test(code);
}

function forbidden(schema: string, cause: Error): MigrateLockError {
  return new MigrateLockError(`The lock schema "${schema}" could not be applied: ${cause.message}.`, {
    code: 'PERMISSION_DENIED',
    exit: 'denied',
    hint:
      'If a rule of the database forbids it (an event trigger, for example), let a role that may create schemas apply it once, ' +
      'with `migrate-lock init` or with the SQL of `migrate-lock init --print`.',
    cause,
  });
}

function conflict(schema: string, cause: unknown): MigrateLockError {
  return new MigrateLockError(
    `The lock schema "${schema}" could not be applied: ` +
      (cause instanceof Error ? cause.message : 'another process has been applying it for too long') +
      '.',
    {
      code: 'SCHEMA_CONFLICT',
      exit: 'refused',
      hint: 'If that database schema is used for something else, choose another with --schema.',
      cause,
    },
  );
}
