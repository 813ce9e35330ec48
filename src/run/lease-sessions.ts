/** Reads what the database sessions of a lease are doing, where a lease or a wait is about to end. */
import type { Database } from '../db/database.js';
import { OwnDatabase } from '../db/own-database.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import type { SessionActivity } from '../events/events.js';
import { readActivity } from '../lock/activity.js';
import type { Held } from '../lock/answers.js';
import type { LockCalls } from '../lock/calls.js';

/** The time limit of a read: a slow database is not waited for. */
const LIMIT_MS = 500;
/** With more waiters, none reads them when it gives up: the database's load does not grow with the waiters. */
const MOST_WAITERS = 50;
/** A read ends this long before the command's deadline. */
const MARGIN_MS = 50;
/** Log collectors cut long lines. */
const MOST_SHOWN = 20;
/** A read that began less than this ago is not repeated. Its result is shown. */
const RECENT_MS = 1_500;

/** The database sessions of a lease; never fails. undefined: not known, or it is another lease by now. */
async function sessionsOf(
  database: Database,
  schema: string,
  instanceId: string,
  limitMs = LIMIT_MS,
): Promise<SessionActivity[] | undefined> {
  try {
    const activity = await readActivity(database, schema, limitMs);
    if (activity?.instanceId !== instanceId) return undefined;
    const waitingFirst = activity.sessions.toSorted(
      (a, b) => Number(a.waiting === null) - Number(b.waiting === null),
    );
    return waitingFirst.slice(0, MOST_SHOWN);
  } catch {
    return undefined;
  }
}

/** On the connection of the last poll; undefined: not known, behind a pooler too, or too many would read. */
export async function sessionsOfHolder(
  { database, schema }: LockCalls,
  { holder, queueLength }: Held,
): Promise<SessionActivity[] | undefined> {
  if (holder === null || queueLength > MOST_WAITERS || !database.isDirect) return undefined;
  return sessionsOf(database, schema, holder.instanceId);
}

/**
 * The reads of the command's own sessions. Each has a connection of its own: the one that is kept for the release, and for an
 * extension, never waits for a read.
 */
export class SessionReader {
  #beganAtMs = -Infinity;
  #reading: Promise<SessionActivity[] | undefined> = Promise.resolve(undefined);
  #seen: SessionActivity[] | undefined;

  constructor(
    private readonly connection: ConnectionConfig,
    private readonly schema: string,
    private readonly instanceId: string,
  ) {}

  /** What the last read saw, if it began a moment ago. */
  lastSeen(): SessionActivity[] | undefined {
    return this.#isRecent() ? this.#seen : undefined;
  }

  /** `enough`: ends it, without a result. */
  read(termAtMs: number, enough: AbortSignal): Promise<SessionActivity[] | undefined> {
    if (this.#isRecent()) return this.#reading;
    const limitMs = Math.min(LIMIT_MS, termAtMs - performance.now() - MARGIN_MS);
    this.#beganAtMs = performance.now();
    this.#seen = undefined;
    this.#reading =
      limitMs < MARGIN_MS || enough.aborted ? Promise.resolve(undefined) : this.#readWithin(limitMs, enough);
    return this.#reading;
  }

  async #readWithin(limitMs: number, enough: AbortSignal): Promise<SessionActivity[] | undefined> {
    const database = new OwnDatabase(this.connection);
    const disconnect = (): void => database.disconnect();
    enough.addEventListener('abort', disconnect, { once: true });
    this.#seen = await sessionsOf(database, this.schema, this.instanceId, limitMs);
    enough.removeEventListener('abort', disconnect);
    disconnect();
    return this.#seen;
  }

  #isRecent(): boolean {
    return performance.now() - this.#beganAtMs < RECENT_MS;
  }
}
