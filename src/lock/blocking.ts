/** Which sessions wait for those of our lease, and how one of these is kept from blocking. Loaded only with --max-block. */
import type { Database } from '../db/database.js';
import { byOutcome, integer, list, object, oneOf, orNull, text, truth } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { trustedSchema } from '../schema/owners.js';
import { renderSql } from '../schema/render.js';
import type { Identity } from './lease.js';

/** A client session (`pid`) waits for a session of the lease (`head`). */
export interface Wait {
  head: number;
  pid: number;
  /** For how long; null: not known (PostgreSQL 12 and 13). */
  ms: number | null;
  /** The transaction of the one that waits. */
  transaction: string;
  object: string | null;
}

/** What PostgreSQL shows to our own role of a session that is in the way. */
export interface BlockingSession {
  pid: number;
  state: string;
  role: string | null;
  /** The starts of its statement and of its transaction, as the database writes them. */
  queryStart: string | null;
  xactStart: string | null;
  statement: string;
  /** The statement may go on. */
  isCut: boolean;
  /** It is older than the lease: a pooler lends it, and it may serve another client. */
  isOlder: boolean;
  /** It is of a run on another lock inside the command. */
  isInner: boolean;
}

export interface Blocking {
  /** The server process that has answered. */
  backendPid: number;
  /** Whose lease it is. */
  instanceId: string;
  waits: Wait[];
  sessions: BlockingSession[];
}

/** `passed`: the session does something else by now, or is not in the way any more. */
export type Unblocked = 'ended' | 'passed' | 'denied' | 'refused';

const pid = integer(1, 2 ** 31 - 1);
const lineOrNull = orNull(text());
const blockingShape = object<{
  backendPid: number;
  reported: { instanceId: string; waits: Wait[] } | null;
  visible: BlockingSession[];
}>({
  backendPid: pid,
  reported: orNull(
    object({
      instanceId: text(),
      waits: list(
        object<Wait>({
          head: pid,
          pid,
          ms: orNull(integer(-1e16, 1e16)),
          transaction: text(),
          object: lineOrNull,
        }),
      ),
    }),
  ),
  visible: list(
    object<BlockingSession>({
      pid,
      state: text(),
      role: lineOrNull,
      queryStart: lineOrNull,
      xactStart: lineOrNull,
      statement: text(),
      isCut: truth,
      isOlder: truth,
      isInner: truth,
    }),
  ),
});
const outcome = (name: Unblocked) => object<{ outcome: Unblocked }>({ outcome: oneOf(name) });
const unblockShape = byOutcome<{ outcome: Unblocked }>({
  ended: outcome('ended'),
  passed: outcome('passed'),
  denied: outcome('denied'),
  refused: outcome('refused'),
});

/** Reads only, and waits for no lock. @returns null when there is no lease, or on a replica. */
export async function readBlocking(
  database: Database,
  schema: string,
  limitMs: number,
): Promise<Blocking | null> {
  const answer = await database.call({
    name: 'read which sessions wait for the command',
    statement: renderSql(CALLS.blocking, schema),
    parameters: [],
    limitMs,
    precondition: trustedSchema(schema),
  });
  const { backendPid, reported, visible } = blockingShape(answer, 'blocking()');
  return reported && { ...reported, backendPid, sessions: visible };
}

/**
 * Cancels the statement of `session`, or ends the session, if `wait` has lasted for `waitedMs` and is still true: with the rights of
 * the owner of the lock, or with those of our login where the owner may not.
 */
export async function unblock(
  database: Database,
  schema: string,
  me: Identity,
  { session, wait, waitedMs, how }: UnblockRequest,
  limitMs: number,
): Promise<Unblocked> {
  const { queryStart, xactStart } = session;
  const answer = await database.call({
    name: 'unblock what waits for the command',
    statement: renderSql(CALLS.unblock, schema),
    parameters: [me.instanceId, me.secret, session.pid, wait.pid, waitedMs, how, queryStart, xactStart],
    limitMs,
    precondition: trustedSchema(schema),
  });
  const { outcome } = unblockShape(answer, 'unblock()');
  if (outcome !== 'denied') return outcome;
  const blocks = await database.call({
    name: 'check whether one still waits for the other',
    statement: renderSql(CALLS.stillBlocks, schema),
    parameters: [session.pid, wait.pid, me.instanceId],
    limitMs,
    precondition: trustedSchema(schema),
  });
  if (blocks !== true) return 'passed';
  const ended = await database.transaction('unblock as our login', limitMs, async (sql) => {
    await sql.unsafe(CALLS.loginRole);
    const own = [session.pid, queryStart, xactStart, me.instanceId, how];
    const rows = await sql.unsafe<{ ended: number }[]>(CALLS.unblockOwn, own);
    return rows[0]?.ended ?? 0;
  });
  return ended > 0 ? 'ended' : 'denied';
}

export interface UnblockRequest {
  session: BlockingSession;
  wait: Wait;
  waitedMs: number;
  how: 'cancel' | 'terminate';
}
