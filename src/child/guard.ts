import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { GUARD_SCRIPT } from '../generated/guard-script.js';
import { reachedLimit } from '../system/limits.js';
import { bootTenths } from './boot-clock.js';
import { errorCode } from './error-code.js';
import { withoutMark } from './instance-mark.js';

/** A child as its guard needs to know it; the protocol stands in guard.sh. */
export interface GuardedChild {
  pid: number;
  /** From the process table; 0 when it does not tell. */
  startedAt: number;
  /** It leads a group of its own. */
  ownGroup: boolean;
}

export interface GuardOrders {
  /**
   * When the guard kills the tree whatever its holder does, on performance.now()'s clock: later than the holder would.
   * Undefined as long as there is no lease, and so no child.
   */
  killAtMs: number | undefined;
  /** From SIGTERM to SIGKILL once the holder is dead. */
  killGraceMs: number;
  /** What the release program gets on its stdin when the holder is dead and the tree is gone; empty: none is run. It may hold secrets. */
  crashRelease: string;
}

export type GuardEvent =
  /** There is no guard, and there will be none: the dead man's switch is missing. */
  | { type: 'absent'; reason: string }
  /** The guard died without being asked to, and another one has taken its place. */
  | { type: 'restarted' };

export interface GuardOptions {
  /** By which it finds the child's processes (instance-mark.ts). */
  mark: string;
  /** Program and arguments that release the lease (see run/crash-release.ts); nothing secret. */
  releaseProgram: readonly string[];
  /** The environment of the guard and of the release program. */
  env: NodeJS.ProcessEnv;
  on: (event: GuardEvent) => void;
  /** Another shell than /bin/sh, and another folder than /proc: for tests. */
  shell?: readonly [string, ...string[]];
  proc?: string;
}

/** How often a guard may die before it was ready, until there is none. */
const MAX_FAILED_STARTS = 3;
const RESTART_PAUSE_MS = 200;

/**
 * The dead man's switch: a small sh in a session of its own that ends the child's tree when this process dies without a
 * chance to act, or sleeps through the deadline. Started as early as one likes (it costs nothing while the database is
 * being asked), it has to have its orders before the child is started. One that dies is replaced at once.
 */
export class Guard {
  /** The guard is there (true), or there will be none (false). Never rejects. */
  readonly ready: Promise<boolean>;
  #process: ChildProcess | undefined;
  #orders: (GuardOrders & { dueTenths: number | undefined }) | undefined;
  #child: GuardedChild | undefined;
  /** Guards that have died, and whose watches may still live. */
  readonly #dead: number[] = [];
  #over = false;
  #failedStarts = 0;
  #restarted = false;
  #settle: (there: boolean) => void = () => undefined;

  constructor(private readonly options: GuardOptions) {
    this.ready = new Promise((resolve) => (this.#settle = resolve));
    this.#start();
  }

  /** What to do; to be given before the child is started. */
  order(orders: GuardOrders): void {
    // Fixed once: performance.now() and the boot clock drift apart when the machine sleeps.
    const now = bootTenths();
    const { killAtMs } = orders;
    const dueTenths = now === undefined || killAtMs === undefined ? undefined : now + tenthsUntil(killAtMs);
    this.#orders = { ...orders, dueTenths };
    this.#tell();
  }

  /** The deadline has moved. In the pipe when this returns, before anybody else is told. */
  moveDeadline(killAtMs: number): void {
    if (this.#orders !== undefined) this.order({ ...this.#orders, killAtMs });
  }

  childStarted(child: GuardedChild): void {
    this.#child = child;
    this.#tell();
  }

  /** The guard is not needed any more: it and what it has started are ended at once. */
  dismiss(): void {
    this.#over = true;
    this.#settle(false);
    const guard = this.#process;
    // Its number is safe as long as it was not reaped.
    if (guard?.pid !== undefined && guard.exitCode === null && guard.signalCode === null)
      killGroup(guard.pid);
  }

  #start(): void {
    const { mark, releaseProgram, shell = ['/bin/sh'], proc = '/proc' } = this.options;
    const [program, ...first] = shell;
    const call = [...first, '-c', 'eval "$MIGRATE_LOCK_GUARD"', 'migrate-lock-guard', proc];
    try {
      const guard = spawn(program, [...call, ...releaseProgram], {
        // Everybody can read arguments; the mark is for the same user only.
        env: {
          ...withoutMark(this.options.env),
          MIGRATE_LOCK_GUARD: GUARD_SCRIPT,
          MIGRATE_LOCK_GUARD_MARK: mark,
        },
        stdio: ['pipe', 'pipe', 'ignore'],
        detached: true,
      });
      this.#process = guard;
      guard.on('error', (error) => this.#giveUp(whyNotStarted(program, error)));
      guard.once('exit', () => this.#died(guard.pid));
      // There are no pipes, whatever the type says, when there were no descriptors left for them: an error follows.
      const pipes: Partial<Pick<typeof guard, 'stdin' | 'stdout'>> = guard;
      // Writing to one that has just died is no fault: its successor gets the same orders.
      pipes.stdin?.on('error', () => undefined);
      pipes.stdout?.once('data', () => this.#isReady());
      this.#tell();
    } catch (error) {
      this.#giveUp(whyNotStarted(program, error));
    }
  }

  #isReady(): void {
    this.#killLeftovers();
    this.#failedStarts = -1;
    this.#settle(true);
    if (this.#restarted && !this.#over) this.#report({ type: 'restarted' });
    this.#restarted = false;
  }

  #died(pid: number | undefined): void {
    // What it has left still watches the child, until a new guard does: the holder may be killed in between.
    if (pid !== undefined) this.#dead.push(pid);
    if (this.#over) {
      this.#killLeftovers();
      return;
    }
    this.#failedStarts += 1;
    if (this.#failedStarts >= MAX_FAILED_STARTS) {
      this.#giveUp('it ends as soon as it is started');
      return;
    }
    this.#restarted = true;
    // The first time at once: the holder may be the next to be killed.
    if (this.#failedStarts === 0) this.#start();
    else setTimeout(() => this.#over || this.#start(), RESTART_PAUSE_MS);
  }

  /** Ends what dead guards have left: it watches an old deadline. */
  #killLeftovers(): void {
    for (const leader of this.#dead.splice(0)) {
      // As long as its group lives nobody else gets its number; a process of that number is somebody else.
      if (!exists(leader)) killGroup(leader);
    }
  }

  #giveUp(reason: string): void {
    if (this.#over) return;
    this.#killLeftovers();
    this.#over = true;
    this.#settle(false);
    this.#report({ type: 'absent', reason });
  }

  /** A line is in the pipe when this returns: it is short, and nobody else writes there. */
  #tell(): void {
    if (this.#orders === undefined || this.#over) return;
    const { dueTenths, killAtMs, killGraceMs, crashRelease } = this.#orders;
    const words = [
      dueTenths ?? '-',
      killAtMs === undefined ? '-' : tenthsUntil(killAtMs),
      Math.ceil(killGraceMs / 100),
      ...childWords(this.#child),
      Buffer.from(crashRelease).toString('base64') || '-',
    ];
    this.#process?.stdin?.write(`orders ${words.join(' ')}\n`);
  }

  #report(event: GuardEvent): void {
    try {
      this.options.on(event);
    } catch {
      // A listener that throws must not stop the guard.
    }
  }
}

/** A clause, to stand in brackets. */
function whyNotStarted(shell: string, error: unknown): string {
  const limit = reachedLimit(error);
  if (limit !== undefined) return `${limit.charAt(0).toLowerCase()}${limit.slice(1, -1)}`;
  const code = errorCode(error);
  if (code === 'ENOENT' && !existsSync(shell)) return `there is no ${shell}`;
  if (code === 'EACCES') return `${shell} may not be executed`;
  const said = error instanceof Error ? error.message : String(error);
  return `${shell} could not be started: ${existsSync('/dev/null') ? said : 'there is no /dev/null'}`;
}

function exists(pid: number): boolean {
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
    // There is nobody in it any more.
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
