import { errorCode } from './error-code.js';
import { hasMark } from './instance-mark.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';
import type { ProcessTable } from './process-table.js';

export interface TreeRoot {
  pid: number;
  /** As the process table tells it; 0 when it does not: then nobody counts as older. */
  startedAt: number;
  /** The child leads a group and a session of its own. */
  ownGroup: boolean;
  /** See instance-mark.ts. */
  mark: string;
}

export interface TreeScan {
  /** Live processes of the tree; zombies are not. */
  members: ProcessEntry[];
  /** False: processes were being made during the look, so one may have slipped through it. */
  certain: boolean;
  /** Nothing could be seen at all, which is not the same as nobody being there. */
  blind: boolean;
  /** Somebody is in the child's group whom the look did not show. */
  hidden: boolean;
}

/** What became of a signal: `denied` means that somebody is there who is not ours to end. */
export type Delivery = 'sent' | 'gone' | 'denied';

/** How soon after a SIGKILL what is left of a group that nobody can see are zombies. */
const DEATH_MS = 200;

const BLIND: TreeScan = { members: [], certain: false, blind: true, hidden: false };

/**
 * The processes that belong to a child. One is in its tree when it is in the child's group or session, descends from a
 * member, carries the run's mark in its environment, or was a member at an earlier look. Never in it: ourselves,
 * our ancestors, and whatever is older than the child.
 */
export class ProcessTree {
  /** Start times of the members seen so far: one that lost its parents and has no mark is still known by them. */
  readonly #known = new Map<number, number>();
  /** Start times of those whose environment was read and has no mark: it is not read at every look. */
  readonly #strangers = new Map<number, number>();
  #reaped = false;
  #groupOver: boolean;
  /** When SIGKILL has reached the whole group, members of any user. */
  #groupKilledAtMs = Infinity;

  constructor(
    readonly root: TreeRoot,
    private readonly table: ProcessTable,
    private readonly selfPid: number,
  ) {
    this.#known.set(root.pid, root.startedAt);
    this.#groupOver = !root.ownGroup;
  }

  /** From now on the child's pid may be given to another process; only with its start time it is still the child. */
  rootReaped(): void {
    this.#reaped = true;
  }

  async scan(): Promise<TreeScan> {
    try {
      return await this.#look();
    } catch {
      return BLIND;
    }
  }

  async #look(): Promise<TreeScan> {
    const lastBefore = this.table.lastPid();
    const entries = await this.table.list();
    if (entries.length === 0) return BLIND;
    this.#noticeEndOfGroup(entries);

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

  /** Sends `signal` to a member, unless its pid is somebody else's by now. */
  signal(member: ProcessEntry, signal: NodeJS.Signals): Delivery {
    try {
      return this.table.isStill(member) ? send(member.pid, signal) : 'gone';
    } catch {
      return 'gone'; // it could not be looked at (no descriptors left): the next look sees to it
    }
  }

  /**
   * Sends `signal` to the whole group in one step that no fork escapes, if the group is certain to be the child's. Where the
   * group is ours too and nothing can be seen, the child alone gets it.
   */
  signalGroup(signal: NodeJS.Signals, scan: TreeScan): Delivery {
    if (!this.root.ownGroup && scan.blind && !this.#reaped) return send(this.root.pid, signal);
    if (this.#groupOver) return 'gone';
    const sure =
      !this.#reaped || scan.blind || scan.hidden || scan.members.some((member) => this.isInGroup(member));
    if (!sure) return 'gone';
    const delivery = send(-this.root.pid, signal);
    if (delivery === 'sent' && signal === 'SIGKILL' && this.table.maySignalAnyone)
      this.#groupKilledAtMs = Math.min(this.#groupKilledAtMs, performance.now());
    return delivery;
  }

  /** Whether nothing of the tree is left, as far as `scan` shows. */
  isEmpty(scan: TreeScan): boolean {
    if (!this.#reaped || scan.members.length > 0) return false;
    if (!scan.blind && !scan.hidden) return true;
    // As PID 1 we are the parent of zombies that nobody reaps: they keep the group there for ever.
    const isKilled = performance.now() >= this.#groupKilledAtMs + DEATH_MS;
    return this.root.ownGroup && (isKilled || !exists(-this.root.pid));
  }

  /** Who the members are, for people. Those that cannot be told are left out. */
  async describe(members: readonly ProcessEntry[]): Promise<ProcessDescription[]> {
    const found = await Promise.all(
      members.map(({ pid }) => this.table.describe(pid).catch(() => undefined)),
    );
    return found.filter((one) => one !== undefined);
  }

  isInGroup(entry: ProcessEntry): boolean {
    return !this.#groupOver && (entry.group === this.root.pid || entry.session === this.root.pid);
  }

  #belongs(entry: ProcessEntry): boolean {
    if (entry.pid === this.root.pid && !this.#reaped) return true;
    if (this.isInGroup(entry)) return true;
    return this.#known.get(entry.pid) === entry.startedAt;
  }

  /** The kernel keeps a group's number from being used again while anybody is in it; after that it is anybody's. */
  #noticeEndOfGroup(entries: readonly ProcessEntry[]): void {
    if (!this.#reaped || this.#groupOver) return;
    const { pid, startedAt } = this.root;
    const numberIsTaken = entries.some((entry) => entry.pid === pid && entry.startedAt !== startedAt);
    // Whom /proc hides the kernel still counts.
    this.#groupOver =
      numberIsTaken || (!entries.some((entry) => this.isInGroup(entry)) && !exists(-this.root.pid));
  }

  /** A zombie that nobody reaps keeps the group there: it accounts for it, unless there may be others beside it. */
  #hides(entries: readonly ProcessEntry[]): boolean {
    if (!this.#reaped || this.#groupOver) return false;
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

  /** Undefined: an empty environment, as a process shows it in the instant of its exec. */
  #carriesMark(entry: ProcessEntry): boolean | undefined {
    // A kernel thread has no group and no environment.
    if (entry.group === 0 || this.#strangers.get(entry.pid) === entry.startedAt) return false;
    const environment = this.table.environment(entry.pid);
    if (environment?.length === 0) return undefined;
    const marked = environment !== undefined && hasMark(environment, this.root.mark);
    if (!marked) this.#strangers.set(entry.pid, entry.startedAt);
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
    return errorCode(error) !== 'ESRCH';
  }
}

/** What is gone needs no signal; what is not ours to end is found again by the next look. */
function send(pid: number, signal: NodeJS.Signals): Delivery {
  try {
    process.kill(pid, signal);
    return 'sent';
  } catch (error) {
    return errorCode(error) === 'EPERM' ? 'denied' : 'gone';
  }
}
