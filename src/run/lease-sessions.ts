/** Looks at the database sessions of a lease. Loaded only where a lease or a wait is about to end. */
import type { Database } from '../db/database.js';
import { OwnDatabase } from '../db/own-database.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import type { SessionActivity } from '../events/events.js';
import { readActivity } from '../lock/activity.js';
import type { Held } from '../lock/answers.js';
import type { LockCalls } from '../lock/calls.js';

/** What a look may take. A slow database is not waited for. */
const LIMIT_MS = 500;
/** With more waiters, none looks when it gives up: the database's load does not grow with the waiters. */
const MOST_THAT_LOOK = 50;
/** A look ends this long before the command's deadline. */
const MARGIN_MS = 50;
/** Log collectors cut long lines. */
const MOST_SHOWN = 20;
/** A look that began less than this ago is not made again, and is shown. */
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

/** On the connection of the last poll; undefined: not known, behind a pooler too, or too many would look. */
export async function sessionsOfHolder(
  { database, schema }: LockCalls,
  { holder, queueLength }: Held,
): Promise<SessionActivity[] | undefined> {
  if (holder === null || queueLength > MOST_THAT_LOOK || !database.isDirect) return undefined;
  return sessionsOf(database, schema, holder.instanceId);
}

/**
 * The looks at the command's own sessions. Each has a connection of its own: the one that is kept for the release, and for an
 * extension, never waits for a look.
 */
export class SessionReader {
  #beganAtMs = -Infinity;
  #looking: Promise<SessionActivity[] | undefined> = Promise.resolve(undefined);
  #seen: SessionActivity[] | undefined;

  constructor(
    private readonly connection: ConnectionConfig,
    private readonly schema: string,
    private readonly instanceId: string,
  ) {}

  /** What the look saw that began a moment ago. */
  lastSeen(): SessionActivity[] | undefined {
    return this.#isRecent() ? this.#seen : undefined;
  }

  /** `enough`: ends it, without a result. */
  begin(termAtMs: number, enough: AbortSignal): Promise<SessionActivity[] | undefined> {
    if (this.#isRecent()) return this.#looking;
    const limitMs = Math.min(LIMIT_MS, termAtMs - performance.now() - MARGIN_MS);
    this.#beganAtMs = performance.now();
    this.#seen = undefined;
    this.#looking =
      limitMs < MARGIN_MS || enough.aborted ? Promise.resolve(undefined) : this.#lookFor(limitMs, enough);
    return this.#looking;
  }

  async #lookFor(limitMs: number, enough: AbortSignal): Promise<SessionActivity[] | undefined> {
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
