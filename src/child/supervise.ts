import type { ChildProcess } from 'node:child_process';
import { alarm } from './alarm.js';
import type { GuardedChild } from './guard.js';
import { withMark } from './instance-mark.js';
import type { ProcessDescription } from './process-entry.js';
import { startTimeOf, systemProcessTable } from './process-table.js';
import { ProcessTree } from './process-tree.js';
import { spawnChild } from './spawn.js';
import { hasControllingTerminal, terminalDelivers } from './terminal.js';
import { TreeEnd } from './tree-end.js';

/** When the child must be gone, on performance.now()'s clock. */
export interface Timeline {
  /** SIGTERM to the whole tree. */
  termAtMs: number;
  /** SIGKILL to what is left of it. */
  killAtMs: number;
}

/** Why a child was ended by us. */
export type StopReason = 'deadline' | 'lost';

export interface ChildOptions {
  /** What resolveCommand() found. */
  file: string;
  /** The command as it was typed: the child's argv[0]. */
  command: string;
  args: readonly string[];
  /** The child's environment, complete but for the mark, which is added here. */
  env: NodeJS.ProcessEnv;
  /** Never used by another run: what leaves the child's group is found by it (instance-mark.ts). */
  mark: string;
  /** Descriptors of ours that become the child's 0, 1 and 2, as they are. */
  stdio: readonly [stdin: number, stdout: number, stderr: number];
  timeline: Timeline;
  /** From SIGTERM to SIGKILL for what the child leaves running, and for stop(). */
  killGraceMs: number;
  /** Told of the child as soon as it has a pid; it must have had its orders before. */
  guard?: { childStarted: (child: GuardedChild) => void } | undefined;
  on: (event: ChildEvent) => void;
}

export type ChildEvent =
  | { type: 'started'; pid: number }
  /** Nobody can be seen: only the group that the child leads can be ended. */
  | { type: 'unseen' }
  | { type: 'exited'; exitCode: number | null; signal: NodeJS.Signals | null; durationMs: number }
  /** The deadline came before the child's end; the tree is being ended. */
  | { type: 'deadline'; ranMs: number }
  /** The child ended by itself and left so many processes, which are being ended. */
  | { type: 'leftover'; count: number }
  /** Processes have outlived their SIGKILL. Unless watchUntil() says more, they are given up soon. */
  | { type: 'stuck'; reason: ChildEnd['reason'] };

export interface ChildEnd {
  /** Exactly one of these is not null; both are null when the child itself could not be killed. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  reason: 'exited' | StopReason;
  leftovers: number;
  /** From the child's start to its own end, or to now where it has not ended. */
  durationMs: number;
  /** Nobody of the tree was left at the last look. If false, somebody lives who could not be killed: keep the lease. */
  gone: boolean;
}

export interface RunningChild {
  readonly pid: number;
  /** Passes a signal on to the child itself, unless it is gone or has had it from the terminal. Never throws. */
  forward(signal: NodeJS.Signals): void;
  /**
   * SIGTERM to the whole tree now, SIGKILL after `graceMs` (0: at once), but no later than the timeline says.
   * The first reason wins; a later call can only hasten the SIGKILL.
   */
  stop(reason: StopReason, graceMs?: number): void;
  /** Sets a new deadline. False: it is too late, the tree is being ended. */
  moveTimeline(timeline: Timeline): boolean;
  /** Until when processes that outlive their SIGKILL are watched. */
  watchUntil(giveUpAtMs: number): void;
  /** Processes that were there at the last look, as far as anybody can name them. */
  survivors(): Promise<ProcessDescription[]>;
  /** The child has ended and its whole tree is gone, or could not be killed. Never rejects. */
  readonly ended: Promise<ChildEnd>;
}

/**
 * Starts the child and watches it until its whole tree is gone. With a controlling terminal it shares our process group,
 * so that prompts and Ctrl-C work; without one it gets a session of its own. It gets one as well where not all processes can
 * be seen: what is left in a group of its own can be found without seeing it.
 *
 * @throws MigrateLockError COMMAND_NOT_EXECUTABLE (exit 126) or COMMAND_NOT_FOUND (exit 127): it could not be started,
 *   and nothing is left of it
 */
export async function startChild(options: ChildOptions): Promise<RunningChild> {
  const table = systemProcessTable();
  const ownGroup = table.shows !== 'all' || !hasControllingTerminal();
  const env = withMark(options.env, options.mark);
  return spawnChild({ ...options, env, ownGroup }, (child, pid) => {
    const started = { pid, startedAt: startTimeOf(pid, table), ownGroup };
    options.guard?.childStarted(started);
    const root = { ...started, mark: options.mark };
    const supervised = new SupervisedChild(options, child, new ProcessTree(root, table, process.pid));
    if (table.shows === 'none') supervised.tellOf({ type: 'unseen' });
    return supervised;
  });
}

/**
 * A look while the child runs: who is a member now is known by that when it has left its family, and the look after the
 * child's end, for which others wait, then takes half as long.
 */
const EARLY_LOOK_MS = 30;

class SupervisedChild implements RunningChild {
  readonly pid: number;
  readonly ended: Promise<ChildEnd>;
  readonly #startedAtMs = performance.now();
  readonly #tree: ProcessTree;
  #timeline: Timeline;
  #switchOff: () => void;
  readonly #stopEarlyLook: () => void;
  #exit: { exitCode: number | null; signal: NodeJS.Signals | null; durationMs: number } | undefined;
  #reason: ChildEnd['reason'] | undefined;
  #leftovers = 0;
  #treeEnd: TreeEnd | undefined;
  #resolve: (end: ChildEnd) => void = () => undefined;

  constructor(
    private readonly options: ChildOptions,
    private readonly child: ChildProcess,
    tree: ProcessTree,
  ) {
    this.#tree = tree;
    this.pid = tree.root.pid;
    this.ended = new Promise((resolve) => (this.#resolve = resolve));
    // Not `close`: that waits for everybody who has inherited the descriptors.
    child.once('exit', (exitCode, signal) => this.#exited(exitCode, signal));
    this.tellOf({ type: 'started', pid: this.pid });
    this.#timeline = options.timeline;
    this.#switchOff = this.#watchDeadline();
    this.#stopEarlyLook = alarm(performance.now() + EARLY_LOOK_MS, () => void this.#tree.scan());
  }

  forward(signal: NodeJS.Signals): void {
    if (!this.#tree.root.ownGroup && terminalDelivers(signal)) return;
    // ChildProcess.kill() never signals a pid that was reaped.
    this.child.kill(signal);
  }

  stop(reason: StopReason, graceMs = this.options.killGraceMs): void {
    this.#reason ??= reason;
    this.#end(performance.now() + graceMs);
  }

  moveTimeline(timeline: Timeline): boolean {
    if (this.#treeEnd !== undefined) return false;
    this.#switchOff();
    this.#timeline = timeline;
    this.#switchOff = this.#watchDeadline();
    return true;
  }

  watchUntil(giveUpAtMs: number): void {
    this.#treeEnd?.watchUntil(giveUpAtMs);
  }

  survivors(): Promise<ProcessDescription[]> {
    return this.#treeEnd?.survivors() ?? Promise.resolve([]);
  }

  #watchDeadline(): () => void {
    return alarm(this.#timeline.termAtMs, () => {
      this.#reason = 'deadline';
      this.tellOf({ type: 'deadline', ranMs: performance.now() - this.#startedAtMs });
      this.#end(this.#timeline.killAtMs);
    });
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    const now = performance.now();
    this.#exit = { exitCode, signal, durationMs: now - this.#startedAtMs };
    this.#tree.rootReaped();
    this.tellOf({ type: 'exited', ...this.#exit });
    // Killed after the deadline, but not by us: we were stopped, and the guard did it.
    this.#reason ??= signal !== null && now >= this.#timeline.termAtMs ? 'deadline' : 'exited';
    this.#end(now + this.options.killGraceMs);
    this.#treeEnd?.childEnded();
  }

  /** Ends whatever there is of the tree; the first call starts it, later ones may hasten it. */
  #end(killAtMs: number): void {
    this.#switchOff();
    this.#stopEarlyLook();
    const dueMs = Math.min(killAtMs, this.#timeline.killAtMs);
    if (this.#treeEnd !== undefined) {
      this.#treeEnd.hasten(dueMs);
      return;
    }
    this.#treeEnd = new TreeEnd(this.#tree, dueMs, {
      seen: (count) => this.#seen(count),
      stuck: () => this.tellOf({ type: 'stuck', reason: this.#reason ?? 'exited' }),
    });
    void this.#treeEnd.run().then((gone) => {
      this.#resolve({
        exitCode: this.#exit?.exitCode ?? null,
        signal: this.#exit?.signal ?? null,
        reason: this.#reason ?? 'exited',
        leftovers: this.#leftovers,
        durationMs: this.#exit?.durationMs ?? performance.now() - this.#startedAtMs,
        gone,
      });
    });
  }

  #seen(count: number): void {
    if (this.#reason !== 'exited' || this.#leftovers > 0) return;
    this.#leftovers = count;
    this.tellOf({ type: 'leftover', count });
  }

  /** A listener that throws must stop neither the deadline nor the end. */
  tellOf(event: ChildEvent): void {
    try {
      this.options.on(event);
    } catch {
      // See above.
    }
  }
}
