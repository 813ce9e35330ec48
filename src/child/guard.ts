import { spawn, type ChildProcess } from 'node:child_process';
import { Writable } from 'node:stream';
import { reachedLimit } from '../system/limits.js';
import { bootTenths } from './boot-clock.js';
import {
  closeThird,
  ownGuard,
  shellGuard,
  whyNotStarted,
  type GuardCommand,
  type GuardPrograms,
} from './guard-command.js';

/** What the guard needs to know of the child. guard.sh describes the protocol. */
export interface GuardedChild {
  pid: number;
  /** From the process table; 0 when unknown. */
  startedAt: number;
  /** It leads its own process group. */
  ownGroup: boolean;
}

export interface GuardOrders {
  /**
   * When the guard kills the tree, even if its holder is alive, on performance.now()'s clock: later than the holder would.
   * Undefined before there is a lease, and so a child.
   */
  killAtMs: number | undefined;
  /** From SIGTERM to SIGKILL, when the holder was killed. */
  killGraceMs: number;
  /** The stdin of the release program, which is run when the holder was killed and the tree has exited. May contain secrets. Empty: no program is run. */
  crashRelease: string;
}

export type GuardEvent =
  /** There is no guard for this run. */
  | { type: 'absent'; reason: string }
  /** The guard had exited, and another one was started. */
  | { type: 'restarted' };

export interface GuardOptions extends GuardPrograms {
  on: (event: GuardEvent) => void;
}

/** After so many guards that exited before they were ready, no other one is started. */
const MAX_FAILED_STARTS = 3;
const RESTART_PAUSE_MS = 200;
/** The exit code of a shell that does not find a program, or that is itself not found by the one before it. */
const NOT_FOUND = 127;

/**
 * A small sh in its own session, which ends the child's tree when this process is killed, or is stopped past the deadline.
 * Where there is no shell, it is this program in guard mode. It can be started early, while the database is connected, and
 * needs its orders before the child is started. A guard that exits is replaced at once.
 */
export class Guard {
  /** Resolves when the guard runs (true), or when there is none for this run (false). Never rejects. */
  readonly ready: Promise<boolean>;
  #process: ChildProcess | undefined;
  #orders: (GuardOrders & { dueTenths: number | undefined }) | undefined;
  #child: GuardedChild | undefined;
  /** Pids of guards that have exited, and whose watchers may still run. */
  readonly #exitedPids: number[] = [];
  #closed = false;
  #failedStarts = 0;
  /** Why the guard is not a shell. */
  #withoutShell: string | undefined;
  #restarted = false;
  #settle: (there: boolean) => void = () => undefined;

  constructor(private readonly options: GuardOptions) {
    this.ready = new Promise((resolve) => (this.#settle = resolve));
    this.#start();
  }

  /** Sends the orders. To be called before the child is started. */
  order(orders: GuardOrders): void {
    // Computed once: performance.now() stops while the machine is suspended, the boot clock does not.
    const now = bootTenths();
    const { killAtMs } = orders;
    const dueTenths = now === undefined || killAtMs === undefined ? undefined : now + tenthsUntil(killAtMs);
    this.#orders = { ...orders, dueTenths };
    this.#sendOrders();
  }

  /** Sends another deadline. It is in the pipe when this returns. */
  moveDeadline(killAtMs: number): void {
    if (this.#orders !== undefined) this.order({ ...this.#orders, killAtMs });
  }

  childStarted(child: GuardedChild): void {
    this.#child = child;
    this.#sendOrders();
  }

  /** Kills the guard and the processes that it has started. */
  dismiss(): void {
    this.#closed = true;
    this.#settle(false);
    const guard = this.#process;
    // Its pid cannot be reused before it is reaped.
    if (guard?.pid !== undefined && guard.exitCode === null && guard.signalCode === null)
      killGroup(guard.pid);
  }

  #start(): void {
    const command = this.#withoutShell === undefined ? shellGuard(this.options) : ownGuard(this.options);
    try {
      this.#follow(command, this.#spawn(command));
      this.#sendOrders();
    } catch (error) {
      this.#failed(whyNotStarted(command.file, error), error);
    } finally {
      closeThird(command);
    }
  }

  #spawn({ file, args, env, third }: GuardCommand): ChildProcess {
    const more = third === undefined ? [] : [third];
    return spawn(file, args, { env, stdio: ['pipe', 'pipe', 'ignore', ...more], detached: true });
  }

  #follow({ file }: GuardCommand, guard: ChildProcess): void {
    this.#process = guard;
    guard.on('error', (error) => this.#failed(whyNotStarted(file, error), error));
    guard.once('exit', (code) => this.#onExit(guard.pid, code));
    // A write to a guard that has just exited fails. The next guard gets the same orders.
    for (const pipe of orderPipes(guard)) pipe.on('error', () => undefined);
    guard.stdout?.once('data', () => this.#isReady());
  }

  #isReady(): void {
    this.#killLeftovers();
    this.#failedStarts = -1;
    this.#settle(true);
    if (this.#restarted && !this.#closed) this.#report({ type: 'restarted' });
    this.#restarted = false;
  }

  #onExit(pid: number | undefined, code: number | null): void {
    // Its watcher keeps watching the child until another guard is ready: the holder may be killed in between.
    if (pid !== undefined) this.#exitedPids.push(pid);
    if (this.#closed) {
      this.#killLeftovers();
      return;
    }
    this.#failedStarts += 1;
    if (this.#failedStarts >= MAX_FAILED_STARTS || (this.#failedStarts > 0 && code === NOT_FOUND)) {
      this.#failed(code === NOT_FOUND ? 'it does not find a program' : 'it ends as soon as it is started');
      return;
    }
    this.#restarted = true;
    // The first time at once: the holder may be killed next.
    if (this.#failedStarts === 0) this.#start();
    else setTimeout(() => this.#closed || this.#start(), RESTART_PAUSE_MS);
  }

  /** Kills the watchers of guards that have exited: they know an old deadline. */
  #killLeftovers(): void {
    for (const leader of this.#exitedPids.splice(0)) {
      // Its pid is not reused while its group exists. If a process has this pid, the group has ended.
      if (!isRunning(leader)) killGroup(leader);
    }
  }

  /** A guard of this kind cannot be started. A limit that is reached stops the other kind too. */
  #failed(reason: string, error?: unknown): void {
    if (this.#closed) return;
    if (this.#withoutShell !== undefined) {
      this.#giveUp(`${this.#withoutShell}, and without it: ${reason}`);
    } else if (reachedLimit(error) !== undefined) {
      this.#giveUp(reason);
    } else {
      this.#withoutShell = reason;
      this.#failedStarts = 0;
      this.#start();
    }
  }

  #giveUp(reason: string): void {
    if (this.#closed) return;
    this.#killLeftovers();
    this.#closed = true;
    this.#settle(false);
    this.#report({ type: 'absent', reason });
  }

  /** The line is in the pipes when this returns: it is short, and there is no other writer. */
  #sendOrders(): void {
    if (this.#orders === undefined || this.#closed) return;
    const { dueTenths, killAtMs, killGraceMs, crashRelease } = this.#orders;
    const words = [
      dueTenths ?? '-',
      killAtMs === undefined ? '-' : tenthsUntil(killAtMs),
      Math.ceil(killGraceMs / 100),
      ...childWords(this.#child),
      Buffer.from(crashRelease).toString('base64') || '-',
    ];
    for (const pipe of orderPipes(this.#process)) pipe.write(`orders ${words.join(' ')}\n`);
  }

  #report(event: GuardEvent): void {
    try {
      this.options.on(event);
    } catch {
      // A listener that throws must not stop the guard.
    }
  }
}

/** That of the guard, and that of a second one. There are none when no descriptors are left: an error follows. */
function orderPipes(guard: Partial<ChildProcess> | undefined): Writable[] {
  const pipes: readonly unknown[] = [guard?.stdin, guard?.stdio?.[3]];
  return pipes.filter((pipe) => pipe instanceof Writable);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // The group has ended.
  }
}

/** Rounded down: the guard may be early, never late. */
function tenthsUntil(atMs: number): number {
  return Math.max(0, Math.floor((atMs - performance.now()) / 100));
}

function childWords(child: GuardedChild | undefined): string[] {
  if (child === undefined) return ['-', '-', '-'];
  const { pid, startedAt, ownGroup } = child;
  return [String(pid), startedAt === 0 ? '-' : String(startedAt), ownGroup ? 'own' : 'shared'];
}
