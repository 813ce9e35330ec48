import type { Database } from '../db/database.js';
import { list, object, text, truth } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { trustedSchema } from '../schema/owners.js';
import { quoteIdentifier, quoteLiteral, renderSql } from '../schema/render.js';

/** The decisions of a lock's owner. */
export interface OwnerDecisions {
  /** A role that may use the lock from now on, and do nothing else with it. */
  role?: string;
  /** A role that may not use it any more; with child roles, only these are taken from it. */
  expelled?: string;
  /**
   * The roles that the commands of its runs connect as: their sessions count as its leases'. Without a role, the
   * owner's.
   */
  childRoles: readonly string[];
  maxTtlMs?: number;
  attemptsPerSecond?: number;
}

/** One statement of sql/calls, to be sent or printed. */
export interface OwnerCall {
  statement: 'admit' | 'configure' | 'expel';
  parameters: readonly (string | number | null)[];
}

/** What the owner of the lock can do with the sessions of a role. */
export interface RoleReach {
  role: string;
  /** The owner can see the state of its sessions; otherwise they count as alive. */
  canSee: boolean;
  /** The owner may end its sessions. */
  canEnd: boolean;
  /** The role has access to a table of the lock through another role. */
  tables: boolean;
}

export interface Admission {
  owner: string;
  roles: RoleReach[];
}

const LIMIT_MS = 10_000;

const admissionShape = object<Admission>({
  owner: text(),
  roles: list(object<RoleReach>({ role: text(), canSee: truth, canEnd: truth, tables: truth })),
});

/** The statements for the decisions. */
export function ownerCalls(decisions: OwnerDecisions): OwnerCall[] {
  const { role, expelled, childRoles, maxTtlMs, attemptsPerSecond } = decisions;
  const children = JSON.stringify(childRoles);
  const calls: OwnerCall[] = [];
  if (maxTtlMs !== undefined || attemptsPerSecond !== undefined) {
    calls.push({ statement: 'configure', parameters: [maxTtlMs ?? null, attemptsPerSecond ?? null] });
  }
  if (expelled !== undefined) calls.push({ statement: 'expel', parameters: [expelled, children] });
  else if (role !== undefined || childRoles.length > 0) {
    calls.push({ statement: 'admit', parameters: [role ?? null, children] });
  }
  return calls;
}

/** @returns the answer of admit(), if it was called. */
export async function sendOwnerCalls(
  database: Database,
  schema: string,
  calls: readonly OwnerCall[],
): Promise<Admission | null> {
  let admission: Admission | null = null;
  for (const { statement, parameters } of calls) {
    const answer = await database.call({
      name: `${statement}()`,
      statement: renderSql(CALLS[statement], schema),
      parameters,
      limitMs: LIMIT_MS,
      precondition: trustedSchema(schema),
    });
    if (statement === 'admit') admission = admissionShape(answer, 'admit()');
  }
  return admission;
}

function literal(parameter: string | number | null): string {
  return parameter === null ? 'NULL' : quoteLiteral(String(parameter));
}

/** The same as SQL, which an administrator can read and execute. */
export function printCall(schema: string, { statement, parameters }: OwnerCall): string {
  // In one pass: a parameter that contains a placeholder is not replaced again.
  const sql = CALLS[statement].replace(/\$(\d+)|"migrate_lock"/g, (_, n: string | undefined) =>
    n === undefined ? quoteIdentifier(schema) : literal(parameters[Number(n) - 1] ?? null),
  );
  return `${sql};`;
}
