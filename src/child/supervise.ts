import type { ChildProcess } from 'node:child_process';
import { alarm } from './alarm.js';
import type { GuardedChild } from './guard.js';
import { withMark } from './instance-mark.js';
import type { ProcessDescription } from './process-entry.js';
import { startTimeOf, systemProcessTable } from './process-table.js';
import { ProcessTree } from './process-tree.js';
import { spawnChild } from './spawn.js';
import { hasControllingTerminal, terminalDelivers } from './controlling-terminal.js';
import { TreeEnd } from './tree-end.js';

/** When the child is ended, on performance.now()'s clock. */
export interface Timeline {
  /** SIGTERM to the whole tree. */
  termAtMs: number;
  /** SIGKILL to what is left of it. */
  killAtMs: number;
}

/** Why we ended a child. */
export type StopReason = 'deadline' | 'lost';

export interface ChildOptions {
  /** The result of resolveCommand(). */
  file: string;
  /** The command as it was typed: the child's argv[0]. */
  command: string;
  args: readonly string[];
  /** The child's environment, complete but for the mark, which is added here. */
  env: NodeJS.ProcessEnv;
  /** Unique to this run. It identifies processes that leave the child's group (instance-mark.ts). */
  mark: string;
  /** The descriptors that become the child's 0, 1 and 2; `ignore`: /dev/null. */
  stdio: readonly [stdin: number | 'ignore', stdout: number, stderr: number];
  timeline: Timeline;
  /** From SIGTERM to SIGKILL, for leftover processes and for stop(). */
  killGraceMs: number;
  /** Notified of the child as soon as it has a pid. It must have its orders before. */
  guard?: { childStarted: (child: GuardedChild) => void } | undefined;
  on: (event: ChildEvent) => void;
}

export type ChildEvent =
  | { type: 'started'; pid: number }
  /** Processes cannot be seen: only the child's process group can be ended. */
  | { type: 'unseen' }
  | { type: 'exited'; exitCode: number | null; signal: NodeJS.Signals | null; durationMs: number }
  /** The child has reached its deadline; its tree is being ended. */
  | { type: 'deadline'; ranMs: number }
  /** The child exited by itself and left `count` processes, which are being ended. */
  | { type: 'leftover'; count: number }
  /** Processes have survived SIGKILL. They are given up soon, unless watchUntil() sets another time. */
  | { type: 'stuck'; reason: ChildEnd['reason'] };

export interface ChildEnd {
  /** Exactly one of these is not null; both are null when the child itself could not be killed. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  reason: 'exited' | StopReason;
  leftovers: number;
  /** From the child's start to its exit, or until now if it has not exited. */
  durationMs: number;
  /** The tree was empty at the last scan. False: a process could not be killed, so the lease is kept. */
  gone: boolean;
}

export interface RunningChild {
  readonly pid: number;
  /** Forwards a signal to the child, unless it has exited or the terminal sends it the signal. Never throws. */
  forward(signal: NodeJS.Signals): void;
  /**
   * SIGTERM to the whole tree now, SIGKILL after `graceMs` (0: at once), but no later than the timeline's SIGKILL.
   * The first reason counts; a later call can only send SIGKILL earlier.
   */
  stop(reason: StopReason, graceMs?: number): void;
  /** Sets another deadline. False: too late, the tree is being ended. */
  moveTimeline(timeline: Timeline): boolean;
  /** Sets until when processes that survive SIGKILL are watched. */
  watchUntil(giveUpAtMs: number): void;
  /** The processes that the last scan found, as far as they can be described. */
  survivors(): Promise<ProcessDescription[]>;
  /** Resolves when the child's whole tree has exited, or could not be killed. Never rejects. */
  readonly ended: Promise<ChildEnd>;
}

/**
 * Starts the child and watches it until its whole tree has exited. With a controlling terminal it shares our process group,
 * so that prompts and Ctrl-C work. Without one it gets its own session. It also gets one where not all processes can be seen:
 * members of its own group can be found without seeing them.
 *
 * @throws MigrateLockError COMMAND_NOT_EXECUTABLE (exit 126) or COMMAND_NOT_FOUND (exit 127): it was not started
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
    if (table.shows === 'none') supervised.report({ type: 'unseen' });
    return supervised;
  });
}

/**
 * When a first scan is made while the child runs. It records the members, which are recognized after they left their
 * parents, and halves the time of the scan after the child's exit.
 */
const EARLY_SCAN_MS = 30;

class SupervisedChild implements RunningChild {
  readonly pid: number;
  readonly ended: Promise<ChildEnd>;
  readonly #startedAtMs = performance.now();
  readonly #tree: ProcessTree;
  #timeline: Timeline;
  #switchOff: () => void;
  readonly #cancelEarlyScan: () => void;
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
    // Not `close`: it waits for every process that inherited the descriptors.
    child.once('exit', (exitCode, signal) => this.#exited(exitCode, signal));
    this.report({ type: 'started', pid: this.pid });
    this.#timeline = options.timeline;
    this.#switchOff = this.#watchDeadline();
    this.#cancelEarlyScan = alarm(performance.now() + EARLY_SCAN_MS, () => void this.#tree.scan());
  }

  forward(signal: NodeJS.Signals): void {
    if (!this.#tree.root.ownGroup && terminalDelivers(signal)) return;
    // ChildProcess.kill() does not signal a pid that was reaped.
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
      this.report({ type: 'deadline', ranMs: performance.now() - this.#startedAtMs });
      this.#end(this.#timeline.killAtMs);
    });
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    const now = performance.now();
    this.#exit = { exitCode, signal, durationMs: now - this.#startedAtMs };
    this.#tree.rootReaped();
    this.report({ type: 'exited', ...this.#exit });
    // Killed after the deadline, but not by us: the guard did it while we were stopped.
    this.#reason ??= signal !== null && now >= this.#timeline.termAtMs ? 'deadline' : 'exited';
    this.#end(now + this.options.killGraceMs);
    this.#treeEnd?.childEnded();
  }

  /** Ends the tree. The first call begins, later ones may send SIGKILL earlier. */
  #end(killAtMs: number): void {
    this.#switchOff();
    this.#cancelEarlyScan();
    const dueMs = Math.min(killAtMs, this.#timeline.killAtMs);
    if (this.#treeEnd !== undefined) {
      this.#treeEnd.hasten(dueMs);
      return;
    }
    this.#treeEnd = new TreeEnd(this.#tree, dueMs, {
      seen: (count) => this.#seen(count),
      stuck: () => this.report({ type: 'stuck', reason: this.#reason ?? 'exited' }),
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
    this.report({ type: 'leftover', count });
  }

  /** A listener that throws must not stop the deadline. */
  report(event: ChildEvent): void {
    try {
      this.options.on(event);
    } catch {
      // See above.
    }
  }
}
