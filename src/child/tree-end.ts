import { alarm } from './alarm.js';
import type { ProcessEntry } from './process-table.js';
import type { ProcessTree, TreeScan } from './process-tree.js';

/** How long SIGKILL may take to show: longer means that it is another user's process, or hangs in the kernel. */
export const GIVE_UP_AFTER_KILL_MS = 2_000;

const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;

/**
 * Ends a process tree: SIGTERM to each member, SIGKILL at `killAtMs` and again until nobody is left. The only proof is
 * a look that finds nobody.
 */
export class TreeEnd {
  /** Start times of those who had their SIGTERM. */
  readonly #told = new Map<number, number>();
  #killAtMs: number;
  /** When the first SIGKILL was sent: that can be long after it was due. */
  #killedAtMs: number | undefined;
  #wake: () => void = () => undefined;

  /** `killAtMs` is on performance.now()'s clock. `onSeen` is called with the number of live members at each look that finds some. */
  constructor(
    private readonly tree: ProcessTree,
    killAtMs: number,
    private readonly onSeen: (count: number) => void,
  ) {
    this.#killAtMs = killAtMs;
  }

  /** Brings the SIGKILL forward; never puts it off. */
  hasten(killAtMs: number): void {
    this.#killAtMs = Math.min(this.#killAtMs, killAtMs);
    this.#wake();
  }

  /** To be called when the child itself has ended: the rest is looked at anew. */
  childEnded(): void {
    this.#wake();
  }

  /** @returns true: nobody is left. False: somebody could not be killed within GIVE_UP_AFTER_KILL_MS. */
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
      if (scan.members.length > 0) this.onSeen(scan.members.length);
      const now = performance.now();
      if (this.#killedAtMs !== undefined && now >= this.#killedAtMs + GIVE_UP_AFTER_KILL_MS) return false;
      if (now >= this.#killAtMs) this.#kill(scan);
      else this.#tell(scan);
      // On a machine with thousands of processes a look takes long: at most a fifth of the time goes into looking.
      pauseMs = Math.max(Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS), (now - lookedAtMs) * 4);
      await this.#pause(now, pauseMs);
    }
  }

  #kill(scan: TreeScan): void {
    this.#killedAtMs ??= performance.now();
    this.tree.signalGroup('SIGKILL', scan);
    for (const member of scan.members) this.tree.signal(member, 'SIGKILL');
  }

  /** SIGTERM once to each; what a member that is shutting down starts for its cleanup is left to it until the SIGKILL. */
  #tell(scan: TreeScan): void {
    if (scan.blind) this.tree.signalGroup('SIGTERM', scan);
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
    return this.#told.get(member.pid) === member.startedAt;
  }

  /** Until the SIGKILL is due, somebody wakes us, or `pauseMs` are over. */
  #pause(now: number, pauseMs: number): Promise<void> {
    const untilMs = now < this.#killAtMs ? Math.min(now + pauseMs, this.#killAtMs) : now + pauseMs;
    return new Promise((resolve) => {
      const cancel = alarm(untilMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
