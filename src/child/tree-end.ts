import { alarm } from './alarm.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';
import type { ProcessTree, TreeScan } from './process-tree.js';

/** How long SIGKILL may take to show: longer means that it is another user's process, or hangs in the kernel. */
export const GIVE_UP_AFTER_KILL_MS = 2_000;

const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;
/** How soon after the SIGKILL somebody who lives on is told of. */
const STUCK_AFTER_MS = 200;
/** Who has outlived many a SIGKILL is looked at less often. */
const LONGEST_PAUSE_WHEN_STUCK_MS = 1_000;

export interface TreeEndListener {
  /** Called with the number of live members at each look that finds some. */
  seen?: (count: number) => void;
  /** Called once, when processes have outlived a SIGKILL. */
  stuck?: () => void;
}

/**
 * Ends a process tree: SIGTERM to each member, SIGKILL at `killAtMs` and again until nobody is left. The only proof is
 * a look that finds nobody.
 */
export class TreeEnd {
  /** Start times of those who had their SIGTERM. */
  readonly #told = new Map<number, number>();
  /** The whole group had its SIGTERM, because nobody could be seen. */
  #groupTold = false;
  #killAtMs: number;
  /** When the first SIGKILL was sent: that can be long after it was due. */
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

  /** Brings the SIGKILL forward; never puts it off. */
  hasten(killAtMs: number): void {
    this.#killAtMs = Math.min(this.#killAtMs, killAtMs);
    this.#wake();
  }

  /** Until when those who outlive the SIGKILL are watched, instead of for GIVE_UP_AFTER_KILL_MS. */
  watchUntil(giveUpAtMs: number): void {
    this.#giveUpAtMs = giveUpAtMs;
    this.#wake();
  }

  /** To be called when the child itself has ended: the rest is looked at again. */
  childEnded(): void {
    this.#wake();
  }

  /** @returns true: nobody is left. False: somebody who could not be killed lives on. */
  async run(): Promise<boolean> {
    let pauseMs = SHORTEST_PAUSE_MS;
    let emptyLooks = 0;
    for (;;) {
      const lookedAtMs = performance.now();
      const scan = await this.tree.scan();
      if (this.tree.isEmpty(scan)) {
        // One that forks and ends in the middle of a look is missed by it, but not by the next.
        emptyLooks += 1;
        if (scan.certain || emptyLooks === 2) return true;
        continue;
      }
      emptyLooks = 0;
      this.#tellOf(scan);
      const now = performance.now();
      if (this.#isOver(now)) return false;
      if (now >= this.#killAtMs) {
        if (this.#killedAtMs === undefined) pauseMs = SHORTEST_PAUSE_MS;
        this.#kill(scan);
      } else this.#tell(scan);
      // On a machine with thousands of processes a look takes long: at most a fifth of the time goes into looking.
      const longestMs = this.#isStuck ? LONGEST_PAUSE_WHEN_STUCK_MS : LONGEST_PAUSE_MS;
      pauseMs = Math.max(Math.min(pauseMs * 1.5, longestMs), (now - lookedAtMs) * 4);
      await this.#pause(now, pauseMs);
    }
  }

  /** Who was there at the last look. Those whom nobody can name (hidden from us) are left out. */
  survivors(): Promise<ProcessDescription[]> {
    return this.tree.describe(this.#lastSeen);
  }

  #tellOf({ members, blind, hidden }: TreeScan): void {
    if (!blind) this.#lastSeen = members;
    // Somebody is in a group of the child's own, though nobody can be counted.
    const uncounted = hidden || (blind && this.tree.root.ownGroup);
    if (members.length > 0 || uncounted) this.on.seen?.(Math.max(members.length, 1));
  }

  #isOver(now: number): boolean {
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

  /** SIGTERM once to each; what a member that is shutting down starts for its cleanup is left to it until the SIGKILL. */
  #tell(scan: TreeScan): void {
    if ((scan.blind || scan.hidden) && !this.#groupTold) {
      this.#groupTold = true;
      this.tree.signalGroup('SIGTERM', scan);
    }
    const shuttingDown = new Set(
      scan.members.filter((member) => this.#wasTold(member)).map(({ pid }) => pid),
    );
    for (const member of scan.members) {
      if (!this.#wasTold(member) && !shuttingDown.has(member.parent)) {
        this.#told.set(member.pid, member.startedAt);
        this.tree.signal(member, 'SIGTERM');
      }
      // A stopped process (it asked a terminal in the background) could not act on its SIGTERM.
      if (member.stopped && this.#wasTold(member)) this.tree.signal(member, 'SIGCONT');
    }
  }

  #wasTold(member: ProcessEntry): boolean {
    const isGroup = this.tree.isInGroup(member) || member.pid === this.tree.root.pid;
    if (this.#groupTold && isGroup) return true;
    return this.#told.get(member.pid) === member.startedAt;
  }

  /** Until the SIGKILL is due, somebody wakes us, or `pauseMs` are over. */
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
