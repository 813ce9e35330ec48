import { systemErrorCode } from './system-error.js';
import { hasMark } from './instance-mark.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';
import type { ProcessTable } from './process-table.js';

export interface TreeRoot {
  pid: number;
  /** From the process table; 0 when unknown: no process counts as older then. */
  startedAt: number;
  /** The child leads a group and a session of its own. */
  ownGroup: boolean;
  /** See instance-mark.ts. */
  mark: string;
}

export interface TreeScan {
  /** Live processes of the tree, without zombies. */
  members: ProcessEntry[];
  /** False: processes were started during the scan, so it may have missed one. */
  certain: boolean;
  /** No process could be seen at all. The tree may still have members. */
  blind: boolean;
  /** The child's group has a member that the scan did not show. */
  hidden: boolean;
}

/** The result of sending a signal. `denied`: the process exists, and we may not signal it. */
export type Delivery = 'sent' | 'gone' | 'denied';

/** How soon after SIGKILL a group whose members cannot be seen consists of zombies alone. */
const DEATH_MS = 200;

const BLIND: TreeScan = { members: [], certain: false, blind: true, hidden: false };

/**
 * The processes that belong to a child. A process is in the tree when it is in the child's group or session, descends from a
 * member, has the run's mark in its environment, or was a member at an earlier scan. This process, its ancestors, and
 * processes older than the child are never in it.
 */
export class ProcessTree {
  /** Start times of the members so far. They identify a member that has no mark and whose parents have exited. */
  readonly #known = new Map<number, number>();
  /** Start times of processes whose environment has no mark, so that it is read once. */
  readonly #unmarked = new Map<number, number>();
  #reaped = false;
  #groupEnded: boolean;
  /** When SIGKILL was sent to the whole group, with the right to kill processes of any user. */
  #groupKilledAtMs = Infinity;

  constructor(
    readonly root: TreeRoot,
    private readonly table: ProcessTable,
    private readonly selfPid: number,
  ) {
    this.#known.set(root.pid, root.startedAt);
    this.#groupEnded = !root.ownGroup;
  }

  /** From now on another process may get the child's pid; only pid and start time together are the child. */
  rootReaped(): void {
    this.#reaped = true;
  }

  async scan(): Promise<TreeScan> {
    try {
      return await this.#scanTable();
    } catch {
      return BLIND;
    }
  }

  async #scanTable(): Promise<TreeScan> {
    const lastBefore = this.table.lastPid();
    const entries = await this.table.list();
    if (entries.length === 0) return BLIND;
    this.#checkGroupEnded(entries);

    const outside = this.#selfAndAncestors(entries);
    const childrenOf = groupByParent(entries);
    const tree = new Map<number, ProcessEntry>();
    const adopt = (entry: ProcessEntry): void => {
      if (tree.has(entry.pid) || outside.has(entry.pid) || entry.startedAt < this.root.startedAt) return;
      tree.set(entry.pid, entry);
      childrenOf.get(entry.pid)?.forEach(adopt);
    };
    for (const entry of entries) if (this.#belongs(entry)) adopt(entry);

    let starting = false;
    for (const entry of entries) {
      if (tree.has(entry.pid) || entry.zombie || entry.startedAt < this.root.startedAt) continue;
      const marked = this.#carriesMark(entry);
      if (marked === undefined) starting = true;
      else if (marked) adopt(entry);
    }
    const members = [...tree.values()].filter((entry) => !entry.zombie);
    for (const { pid, startedAt } of members) this.#known.set(pid, startedAt);
    const quiet = lastBefore !== undefined && lastBefore === this.table.lastPid();
    return { members, certain: quiet && !starting, blind: false, hidden: this.#hides(entries) };
  }

  /** Sends `signal` to a member, unless its pid belongs to another process by now. */
  signal(member: ProcessEntry, signal: NodeJS.Signals): Delivery {
    try {
      return this.table.isStill(member) ? send(member.pid, signal) : 'gone';
    } catch {
      return 'gone'; // it could not be checked (no descriptors left); the next scan finds it again
    }
  }

  /**
   * Sends `signal` to the whole group in one call, which includes processes that are just forking, if the group is certainly
   * the child's. Where the child shares our group and no process can be seen, only the child gets the signal.
   */
  signalGroup(signal: NodeJS.Signals, scan: TreeScan): Delivery {
    if (!this.root.ownGroup && scan.blind && !this.#reaped) return send(this.root.pid, signal);
    if (this.#groupEnded) return 'gone';
    const sure =
      !this.#reaped || scan.blind || scan.hidden || scan.members.some((member) => this.isInGroup(member));
    if (!sure) return 'gone';
    const delivery = send(-this.root.pid, signal);
    if (delivery === 'sent' && signal === 'SIGKILL' && this.table.maySignalAnyone)
      this.#groupKilledAtMs = Math.min(this.#groupKilledAtMs, performance.now());
    return delivery;
  }

  /** Whether the tree has no member left, as far as `scan` shows. */
  isEmpty(scan: TreeScan): boolean {
    if (!this.#reaped || scan.members.length > 0) return false;
    if (!scan.blind && !scan.hidden) return true;
    // As PID 1 we are the parent of zombies that are never reaped: the group exists as long as they do.
    const isKilled = performance.now() >= this.#groupKilledAtMs + DEATH_MS;
    return this.root.ownGroup && (isKilled || !exists(-this.root.pid));
  }

  /** Describes the members for people. Those that cannot be described are left out. */
  async describe(members: readonly ProcessEntry[]): Promise<ProcessDescription[]> {
    const found = await Promise.all(
      members.map(({ pid }) => this.table.describe(pid).catch(() => undefined)),
    );
    return found.filter((one) => one !== undefined);
  }

  isInGroup(entry: ProcessEntry): boolean {
    return !this.#groupEnded && (entry.group === this.root.pid || entry.session === this.root.pid);
  }

  #belongs(entry: ProcessEntry): boolean {
    if (entry.pid === this.root.pid && !this.#reaped) return true;
    if (this.isInGroup(entry)) return true;
    return this.#known.get(entry.pid) === entry.startedAt;
  }

  /** The kernel does not reuse the id of a group that has members. After that, another process may get it. */
  #checkGroupEnded(entries: readonly ProcessEntry[]): void {
    if (!this.#reaped || this.#groupEnded) return;
    const { pid, startedAt } = this.root;
    const numberIsTaken = entries.some((entry) => entry.pid === pid && entry.startedAt !== startedAt);
    // kill(2) also finds processes that /proc hides.
    this.#groupEnded =
      numberIsTaken || (!entries.some((entry) => this.isInGroup(entry)) && !exists(-this.root.pid));
  }

  /** An unreaped zombie explains why the group exists, unless the group may have hidden members too. */
  #hides(entries: readonly ProcessEntry[]): boolean {
    if (!this.#reaped || this.#groupEnded) return false;
    const group = entries.filter((entry) => this.isInGroup(entry));
    if (group.length > 0 && this.table.shows === 'all') return false;
    return !group.some((entry) => !entry.zombie) && exists(-this.root.pid);
  }

  #selfAndAncestors(entries: readonly ProcessEntry[]): Set<number> {
    const parents = new Map(entries.map((entry) => [entry.pid, entry.parent]));
    const found = new Set<number>();
    for (
      let pid: number | undefined = this.selfPid;
      pid !== undefined && !found.has(pid);
      pid = parents.get(pid)
    ) {
      found.add(pid);
    }
    return found;
  }

  /** Undefined: the environment is empty, as it is during an exec. */
  #carriesMark(entry: ProcessEntry): boolean | undefined {
    // A kernel thread has no group and no environment.
    if (entry.group === 0 || this.#unmarked.get(entry.pid) === entry.startedAt) return false;
    const environment = this.table.environment(entry.pid);
    if (environment?.length === 0) return undefined;
    const marked = environment !== undefined && hasMark(environment, this.root.mark);
    if (!marked) this.#unmarked.set(entry.pid, entry.startedAt);
    return marked;
  }
}

function groupByParent(entries: readonly ProcessEntry[]): Map<number, ProcessEntry[]> {
  const children = new Map<number, ProcessEntry[]>();
  for (const entry of entries) {
    const siblings = children.get(entry.parent);
    if (siblings === undefined) children.set(entry.parent, [entry]);
    else siblings.push(entry);
  }
  return children;
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemErrorCode(error) !== 'ESRCH';
  }
}

/** A process that we may not signal is found again by the next scan. */
function send(pid: number, signal: NodeJS.Signals): Delivery {
  try {
    process.kill(pid, signal);
    return 'sent';
  } catch (error) {
    return systemErrorCode(error) === 'EPERM' ? 'denied' : 'gone';
  }
}
