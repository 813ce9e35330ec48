import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { integer, list, object, text, truth } from '../db/shape.js';
import type { MigrateLockEvent } from '../events/events.js';
import { CALLS } from '../generated/sql.js';
import { readActivity } from '../lock/activity.js';
import { fail, ok, warn, type Check } from './check-results.js';
import { LIMIT_MS } from './server-facts.js';

/** Sessions that are shorter than this and a round trip may not be seen. The pause grows with the time that the command takes. */
const SHORTEST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 250;
const NAME = 'command-sessions';

export const NOT_WATCHED = warn(
  NAME,
  'not checked: few connections are left, and this check needs one',
  'Run `migrate-lock doctor` again when more can be opened.',
);

interface Named {
  pid: number;
  role: string;
  /** Whether it is the role of this connection. */
  isOwnRole: boolean;
}
interface Found {
  here: Named[];
  elsewhere: string[];
  unnamed: number[];
}
const shape = object<Found>({
  here: list(object<Named>({ pid: integer(0, 2 ** 31), role: text(), isOwnRole: truth })),
  elsewhere: list(text()),
  unnamed: list(integer(0, 2 ** 31)),
});

/** Reads the database sessions while the command runs, on a connection of its own. */
export class SessionWatch {
  readonly #database: OwnDatabase;
  readonly #before = new Set<number>();
  readonly #elsewhere = new Set<string>();
  readonly #unnamed = new Set<number>();
  #isSeen = false;
  /** The role of sessions that bear the name, and do not count as the lease's. */
  #foreignRole: string | undefined;
  /** The role of sessions that bear the name, and ended before the lock said whether they count. */
  #unknownRole: string | undefined;
  /** Inside a run the sessions bear the name of that run's lease. */
  #holder: string | undefined;
  #hasStarted = false;
  #reads = 0;
  #ended = false;
  #watching: Promise<void> = Promise.resolve();

  constructor(
    private readonly connection: ConnectionConfig,
    private readonly schema: string,
    private readonly howToName: string,
  ) {
    this.#database = new OwnDatabase(connection);
  }

  /** Before the command: the sessions of others that are there already. */
  async begin(): Promise<void> {
    try {
      await this.#database.findPooler(LIMIT_MS); // a pooler can drop our search_path
      for (const pid of (await this.#read('')).unnamed) this.#before.add(pid);
    } catch {
      // The run reports what is wrong.
    }
  }

  readonly onEvent = (event: MigrateLockEvent): void => {
    if (event.event === 'lock.inherited') this.#holder = event.holder;
    if (event.event === 'child.started') this.#watching = this.#watch(this.#holder ?? event.instanceId);
    if (event.event === 'child.exited') this.#ended = true;
  };

  /** What was seen. undefined: the command did not start. */
  async finish(): Promise<Check | undefined> {
    this.#ended = true;
    await this.#watching;
    this.#database.disconnect(); // also when the command did not start
    return this.#hasStarted ? this.#judge() : undefined;
  }

  async #watch(instanceId: string): Promise<void> {
    this.#hasStarted = true;
    const startedAtMs = performance.now();
    while (!this.#ended && !this.#isSeen) {
      try {
        const { here, elsewhere, unnamed } = await this.#read(instanceId);
        this.#reads++;
        if (here.length > 0) await this.#compare(here, instanceId);
        for (const database of elsewhere) this.#elsewhere.add(database);
        for (const pid of unnamed) if (!this.#before.has(pid)) this.#unnamed.add(pid);
      } catch {
        // The database may restart: the next read connects again.
      }
      const pauseMs = (performance.now() - startedAtMs) / 20;
      await sleep(Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, pauseMs)));
    }
    this.#database.disconnect();
  }

  /** Any client can give its sessions the name: those of other roles are not waited for, nor ended, when the lease is taken over. */
  async #compare(named: readonly Named[], instanceId: string): Promise<void> {
    // Our role acquired the lease, and its sessions count. Inside a run that can be another role.
    const areOurs = this.#holder === undefined && named.some(({ isOwnRole }) => isOwnRole);
    const ofLease = areOurs ? undefined : await this.#sessionsOfLease(instanceId);
    if (ofLease === undefined || named.some(({ pid }) => ofLease.has(pid))) {
      this.#isSeen = true;
      return;
    }
    const after = await this.#read(instanceId);
    const foreign = named.find(({ pid }) => after.here.some((one) => one.pid === pid));
    if (foreign === undefined) this.#unknownRole = named[0]?.role;
    else this.#foreignRole = foreign.role;
  }

  /** undefined: not known. A pooler's idle session keeps a name, and is not the lease's. */
  async #sessionsOfLease(instanceId: string): Promise<Set<number> | undefined> {
    if (!this.#database.isDirect) return undefined;
    const activity = await readActivity(this.#database, this.schema, LIMIT_MS);
    if (activity?.instanceId !== instanceId) return undefined;
    return new Set(activity.sessions.map(({ pid }) => pid));
  }

  async #read(instanceId: string): Promise<Found> {
    const call = { name: 'read the sessions', statement: CALLS.namedSessions, limitMs: LIMIT_MS };
    return shape(await this.#database.call({ ...call, parameters: [instanceId] }), 'the sessions');
  }

  #judge(): Check {
    const { database } = this.connection;
    if (this.#isSeen) return ok(NAME, `seen in ${database}, under the name of the lease`);
    if (this.#reads === 0) {
      return warn(NAME, 'the database gave no answer while the command ran', 'Try it once more.');
    }
    if (this.#foreignRole !== undefined) {
      const role = this.#foreignRole;
      return warn(
        NAME,
        `sessions in ${database} bear the name of the lease, and are of the role ${role}, whose sessions do not count as the lease's`,
        `If they are the command's, what it leaves in a crash is not found. Let the owner of the lock run \`migrate-lock init --child-role ${role}\`, with --grant-to where another role runs the command.`,
      );
    }
    if (this.#unknownRole !== undefined) {
      const role = this.#unknownRole;
      return warn(
        NAME,
        `sessions in ${database} bear the name of the lease, are of the role ${role}, and ended before the lock said whether they count as the lease's`,
        `If they are the command's, they count once the owner of the lock has run \`migrate-lock init --child-role ${role}\`, with --grant-to where another role runs the command.`,
      );
    }
    const others = [...this.#elsewhere].join(', ');
    if (others !== '') {
      return fail(
        NAME,
        `the command connected to ${others}, and the lock is in ${database}`,
        'Give migrate-lock the URL of the database that is migrated: runs with another URL do not wait for this one.',
      );
    }
    if (this.#unnamed.size > 0) {
      return warn(
        NAME,
        `sessions in ${database} that began meanwhile do not bear the name of the lease`,
        `If they are the command's, what it leaves in a crash is not found. ${this.howToName}`,
      );
    }
    return warn(
      NAME,
      `none was seen in ${database}`,
      'The command connected for a moment only, or not at all, or to another server: check that both have the same URL.',
    );
  }
}
