import { alarm } from './alarm.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';
import type { ProcessTree, TreeScan } from './process-tree.js';

/** How long SIGKILL may take. A process that lives longer is another user's, or hangs in the kernel. */
const GIVE_UP_AFTER_KILL_MS = 2_000;

const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;
/** How soon after SIGKILL a surviving process is reported. */
const STUCK_AFTER_MS = 200;
/** Processes that survive SIGKILL are scanned less often. */
const LONGEST_PAUSE_WHEN_STUCK_MS = 1_000;

export interface TreeEndListener {
  /** Called with the number of live members, at each scan that finds some. */
  seen?: (count: number) => void;
  /** Called once, when processes have survived SIGKILL. */
  stuck?: () => void;
}

/**
 * Ends a process tree: SIGTERM to each member, SIGKILL at `killAtMs`, repeated until a scan finds no member.
 */
export class TreeEnd {
  /** Start times of the members to which SIGTERM was sent. */
  readonly #termSent = new Map<number, number>();
  /** SIGTERM was sent to the whole group, because its members cannot be seen. */
  #groupTermSent = false;
  #killAtMs: number;
  /** When the first SIGKILL was sent, which can be long after it was due. */
  #killedAtMs: number | undefined;
  #giveUpAtMs: number | undefined;
  #isStuck = false;
  #lastSeen: readonly ProcessEntry[] = [];
  #wake: () => void = () => undefined;

  /** `killAtMs` is on performance.now()'s clock. */
  constructor(
    private readonly tree: ProcessTree,
    killAtMs: number,
    private readonly on: TreeEndListener = {},
  ) {
    this.#killAtMs = killAtMs;
  }

  /** Moves SIGKILL to an earlier time, never to a later one. */
  hasten(killAtMs: number): void {
    this.#killAtMs = Math.min(this.#killAtMs, killAtMs);
    this.#wake();
  }

  /** Sets until when processes that survive SIGKILL are watched, instead of for GIVE_UP_AFTER_KILL_MS. */
  watchUntil(giveUpAtMs: number): void {
    this.#giveUpAtMs = giveUpAtMs;
    this.#wake();
  }

  /** To be called when the child itself has exited: scans the tree at once. */
  childEnded(): void {
    this.#wake();
  }

  /** @returns true: no member is left. False: a process could not be killed. */
  async run(): Promise<boolean> {
    let pauseMs = SHORTEST_PAUSE_MS;
    let emptyScans = 0;
    for (;;) {
      const scannedAtMs = performance.now();
      const scan = await this.tree.scan();
      if (this.tree.isEmpty(scan)) {
        // A process that forks and exits during a scan hides its child from it, but not from the next scan.
        emptyScans += 1;
        if (scan.certain || emptyScans === 2) return true;
        continue;
      }
      emptyScans = 0;
      this.#reportMembers(scan);
      const now = performance.now();
      if (this.#gaveUp(now)) return false;
      if (now >= this.#killAtMs) {
        if (this.#killedAtMs === undefined) pauseMs = SHORTEST_PAUSE_MS;
        this.#kill(scan);
      } else this.#terminate(scan);
      // With thousands of processes a scan takes long: at most a fifth of the time is spent on scans.
      const longestMs = this.#isStuck ? LONGEST_PAUSE_WHEN_STUCK_MS : LONGEST_PAUSE_MS;
      pauseMs = Math.max(Math.min(pauseMs * 1.5, longestMs), (now - scannedAtMs) * 4);
      await this.#pause(now, pauseMs);
    }
  }

  /** The members that the last scan found. Those that are hidden are left out. */
  survivors(): Promise<ProcessDescription[]> {
    return this.tree.describe(this.#lastSeen);
  }

  #reportMembers({ members, blind, hidden }: TreeScan): void {
    if (!blind) this.#lastSeen = members;
    // The child's own group has members that cannot be counted.
    const uncounted = hidden || (blind && this.tree.root.ownGroup);
    if (members.length > 0 || uncounted) this.on.seen?.(Math.max(members.length, 1));
  }

  #gaveUp(now: number): boolean {
    if (this.#killedAtMs === undefined) return false;
    return now >= (this.#giveUpAtMs ?? this.#killedAtMs + GIVE_UP_AFTER_KILL_MS);
  }

  #kill(scan: TreeScan): void {
    const now = performance.now();
    this.#killedAtMs ??= now;
    const answers = [
      this.tree.signalGroup('SIGKILL', scan),
      ...scan.members.map((member) => this.tree.signal(member, 'SIGKILL')),
    ];
    const outlived = scan.members.length > 0 && now >= this.#killedAtMs + STUCK_AFTER_MS;
    if (this.#isStuck || !(outlived || answers.includes('denied'))) return;
    this.#isStuck = true;
    this.on.stuck?.();
  }

  /** Sends SIGTERM once to each member, and none to processes that a terminating member starts for its cleanup. */
  #terminate(scan: TreeScan): void {
    if ((scan.blind || scan.hidden) && !this.#groupTermSent) {
      this.#groupTermSent = true;
      this.tree.signalGroup('SIGTERM', scan);
    }
    const shuttingDown = new Set(
      scan.members.filter((member) => this.#hadTerm(member)).map(({ pid }) => pid),
    );
    for (const member of scan.members) {
      if (!this.#hadTerm(member) && !shuttingDown.has(member.parent)) {
        this.#termSent.set(member.pid, member.startedAt);
        this.tree.signal(member, 'SIGTERM');
      }
      // A stopped process (by SIGTTIN, for example) does not handle SIGTERM before SIGCONT.
      if (member.stopped && this.#hadTerm(member)) this.tree.signal(member, 'SIGCONT');
    }
  }

  #hadTerm(member: ProcessEntry): boolean {
    const isGroup = this.tree.isInGroup(member) || member.pid === this.tree.root.pid;
    if (this.#groupTermSent && isGroup) return true;
    return this.#termSent.get(member.pid) === member.startedAt;
  }

  /** Resolves when SIGKILL is due, when `pauseMs` have passed, or at a call of #wake(). */
  #pause(now: number, pauseMs: number): Promise<void> {
    const marksMs = [this.#killAtMs, (this.#killedAtMs ?? Infinity) + STUCK_AFTER_MS];
    const untilMs = Math.min(now + pauseMs, ...marksMs.filter((mark) => mark > now));
    return new Promise((resolve) => {
      const cancel = alarm(untilMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
