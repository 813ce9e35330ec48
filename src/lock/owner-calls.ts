import type { Database } from '../db/database.js';
import { list, object, text, truth } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { quoteIdentifier, quoteLiteral, renderSql } from '../schema/render.js';

/** What the owner of a lock decides. */
export interface OwnerDecisions {
  /** May use the lock from now on, and nothing else. */
  role?: string;
  /** As which roles the commands of its runs work in the database: their sessions count as its leases'. */
  childRoles: readonly string[];
  maxTtlMs?: number;
  attemptsPerSecond?: number;
}

/** One statement of sql/calls, as it is sent or as it is printed. */
export interface OwnerCall {
  statement: 'admit' | 'configure';
  parameters: readonly string[];
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
export function ownerCalls({ role, childRoles, ...settings }: OwnerDecisions): OwnerCall[] {
  const calls: OwnerCall[] = [];
  if (Object.keys(settings).length > 0) {
    calls.push({ statement: 'configure', parameters: [JSON.stringify(settings)] });
  }
  if (role !== undefined) calls.push({ statement: 'admit', parameters: [role, JSON.stringify(childRoles)] });
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
    });
    if (statement === 'admit') admission = admissionShape(answer, 'admit()');
  }
  return admission;
}

/** The same as SQL, for an administrator to read and to apply. */
export function printCall(schema: string, { statement, parameters }: OwnerCall): string {
  // In one pass: what a parameter says is not looked at again.
  const sql = CALLS[statement].replace(/\$(\d+)|"migrate_lock"/g, (_, n: string | undefined) =>
    n === undefined ? quoteIdentifier(schema) : quoteLiteral(parameters[Number(n) - 1] ?? ''),
  );
  return `${sql};`;
}
