import type { Database } from '../db/database.js';
import { list, object, text, truth } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { trustedSchema } from '../schema/owners.js';
import { quoteIdentifier, quoteLiteral, renderSql } from '../schema/render.js';

/** What the owner of a lock decides. */
export interface OwnerDecisions {
  /** May use the lock from now on, and nothing else. */
  role?: string;
  /** May not use it any more; with child roles, only these are taken from it. */
  expelled?: string;
  /** The roles as which the commands of its runs connect: their sessions count as its leases'. Without a role, the owner's. */
  childRoles: readonly string[];
  maxTtlMs?: number;
  attemptsPerSecond?: number;
}

/** One statement of sql/calls, as it is sent or as it is printed. */
export interface OwnerCall {
  statement: 'admit' | 'configure' | 'expel';
  parameters: readonly (string | number | null)[];
}

/** What the owner of the lock can do about the sessions of a role. */
export interface RoleReach {
  role: string;
  /** Sees what its sessions do; else they count as alive. */
  canSee: boolean;
  /** May end its sessions. */
  canEnd: boolean;
  /** It can get at a table of the lock all the same, through another role. */
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

/** The statements that carry the decisions out. */
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

/** @returns what admit() answers, if that was called. */
export async function decide(
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

/** The same as SQL, for an administrator to read and to apply. */
export function printCall(schema: string, { statement, parameters }: OwnerCall): string {
  // In one pass: what a parameter contains is not replaced once more.
  const sql = CALLS[statement].replace(/\$(\d+)|"migrate_lock"/g, (_, n: string | undefined) =>
    n === undefined ? quoteIdentifier(schema) : literal(parameters[Number(n) - 1] ?? null),
  );
  return `${sql};`;
}
