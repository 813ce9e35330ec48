import { UNTRUSTED_SCHEMA, ABSENT_SCHEMA } from '../db/classify.js';
import type { Precondition, Session } from '../db/database.js';
import { codedError } from '../db/socket.js';
import { MigrateLockError } from '../errors.js';
import { CALLS } from '../generated/sql.js';
import { renderSql } from './render.js';

/** The owner of `public` from PostgreSQL 15 on: it stands for the database's owner, and no client can connect as it. */
const NO_LOGIN = 'pg_database_owner';

/** Whose the lock schema is, as the catalog says; see sql/calls/owners.sql. */
export interface SchemaOwners {
  /** The database's, as PostgreSQL calls it. */
  encoding: string;
  owner: string;
  /** Whether the owner is a superuser, or can become one. */
  ownerIsSuperuser: boolean;
  /** Whether our session's role, or the role that it logged in as, is a superuser, or can become one. */
  isSuperuser: boolean;
  canBecomeOwner: boolean;
  isEmpty: boolean;
  isApplied: boolean;
  /** Objects that belong to another role than the schema, at most five. */
  foreignObjects: string[];
  /** Other roles that may create objects in it, at most five. */
  foreignCreators: string[];
  /** Functions that we call, where we cannot act as the owner, and that would run with our rights; at most five. */
  withOurRights: string[];
}

/**
 * Reads whose the schema is. Nothing in the schema is called.
 * @returns null when there is no such schema.
 */
export async function readOwners(session: Session, schema: string): Promise<SchemaOwners | null> {
  return ownersIn(await session.unsafe(renderSql(CALLS.owners, schema)));
}

function ownersIn([row]: readonly unknown[]): SchemaOwners | null {
  return (row as { answer: SchemaOwners } | undefined)?.answer ?? null;
}

/**
 * The check before each call of a function in the lock schema: a function that another role could have created would run with
 * our rights. Where the schema is missing, the call is not made either, because another role could create it just then.
 */
export function trustedSchema(schema: string): Precondition {
  return {
    statement: renderSql(CALLS.owners, schema),
    check: (rows) => {
      const owners = ownersIn(rows);
      if (owners === null) throw codedError(ABSENT_SCHEMA, 'there is no lock schema');
      refuseForeign(owners, schema);
      refuseSuperuser(owners, schema);
      if (!owners.isApplied) throw codedError(ABSENT_SCHEMA, 'there is no lock in this schema');
      refuseOurRights(owners, schema);
      return { storesUnicode: owners.encoding === 'UTF8', owner: owners.owner };
    },
  };
}

/** @throws {MigrateLockError} when anything in the schema belongs to another role than the schema itself, or may do so soon. */
export function refuseForeign(
  { owner, foreignObjects, foreignCreators }: SchemaOwners,
  schema: string,
): void {
  if (foreignObjects.length > 0) {
    throw untrusted(
      `not everything in the schema "${schema}" belongs to its owner ${owner}: ${foreignObjects.join(', ')}`,
      'Remove it, or use a schema of the lock alone, with --schema.',
    );
  }
  if (foreignCreators.length > 0) {
    const creators = foreignCreators.map((role) => (role === 'PUBLIC' ? 'every role' : role)).join(', ');
    throw untrusted(
      `${creators} may create objects in the schema "${schema}" of ${owner}, and their code would run with our rights`,
      `Use a schema of the lock alone, with --schema, or revoke the right: REVOKE CREATE ON SCHEMA ... FROM ${foreignCreators.join(', ')}.`,
    );
  }
}

/**
 * A superuser calls nothing that another role could have made. SET ROLE is no protection: a function may reset it.
 * @throws {MigrateLockError} when we are a superuser, or can become one, and the schema's owner is not.
 */
export function refuseSuperuser(
  { owner, isSuperuser, ownerIsSuperuser }: SchemaOwners,
  schema: string,
): void {
  if (!isSuperuser || ownerIsSuperuser) return;
  throw untrusted(
    `we are a superuser, or can become one, and the lock schema "${schema}" belongs to ${owner}, who cannot: a superuser runs no code of other roles`,
    owner === NO_LOGIN
      ? 'Use a schema of the lock alone, with --schema.'
      : `Connect as ${owner}, or as a role that ${owner} has admitted.`,
  );
}

/** The functions of a lock run with its owner's rights: what runs with the caller's is a trap. */
function refuseOurRights({ owner, withOurRights }: SchemaOwners, schema: string): void {
  if (withOurRights.length === 0) return;
  throw untrusted(
    `the schema "${schema}" belongs to ${owner}, and this in it would run with our rights: ${withOurRights.join(', ')}`,
    `It is not as \`migrate-lock init\` makes it. Let its owner run that, or use another schema, with --schema.`,
  );
}

export function untrusted(message: string, hint: string, cause?: unknown): MigrateLockError {
  return new MigrateLockError(`The lock schema cannot be trusted: ${message}.`, {
    code: UNTRUSTED_SCHEMA,
    exit: 'denied',
    hint,
    cause,
  });
}
