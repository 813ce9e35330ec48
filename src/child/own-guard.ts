import { spawn } from 'node:child_process';
import { closeSync, writeFileSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { alarm } from './alarm.js';
import { msUntilDue, readOrders, type ReceivedOrders } from './guard-orders.js';
import { leftoverTree } from './marked.js';
import { systemProcessTable } from './process-table.js';
import { TreeEnd } from './tree-end.js';

export interface OwnGuardOptions {
  /** Identifies the child's processes (instance-mark.ts). */
  mark: string;
  /** This program as the second guard. The process id of the first one is added. */
  second: readonly string[];
  /** Releases the lease. It scans again before that. */
  release: (line: string) => Promise<unknown>;
}

/**
 * Signals that a container or a terminal sends to all its processes; and those of users: at SIGUSR1, Node.js would open the port
 * of its debugger, to every user of the machine.
 */
const IGNORED = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGPIPE', 'SIGUSR1', 'SIGUSR2'] as const;
/** performance.now() stops while the machine is suspended, so that the clock is read again after that time. */
const LONGEST_PAUSE_MS = 1_000;
const SECOND_GUARD_PAUSE_MS = 200;
/** How long SIGKILL is repeated before the guard gives up and releases nothing. */
const GIVE_UP_MS = 60_000;

/**
 * The guard where there is no shell: the same orders on stdin, and the same promises (guard.sh). The holder sends the orders
 * also to descriptor 3, which is the stdin of a second guard.
 */
export async function guardAsFirst({ mark, second, release }: OwnGuardOptions): Promise<void> {
  ignoreSignals();
  startSecond(second);
  raiseOomScore();
  const watch = new Watch(mark, process.stdin);
  // The holder may have been killed.
  ignoringErrors(() => writeSync(1, 'ready\n'));
  try {
    const orders = await watch.untilHolderEnds();
    // Without orders it had no lease.
    const isGone = orders !== undefined && (await endsTree(watch, orders));
    if (isGone && orders.release !== undefined) await release(orders.release);
  } finally {
    // The second guard, and itself.
    ignoringErrors(() => process.kill(-process.pid, 'SIGKILL'));
  }
}

/**
 * Kills the tree when it is due, as the first guard does, and at once when both the holder and the first guard are killed.
 * Releases nothing. When only the first guard is killed, the holder starts another one, which ends this one.
 */
export async function guardAsSecond(mark: string, first: number): Promise<void> {
  ignoreSignals();
  const watch = new Watch(mark, process.stdin);
  const orders = await watch.untilHolderEnds();
  if (orders === undefined) return;
  while (msUntilDue(orders) > 0 && process.ppid === first) await pause(SECOND_GUARD_PAUSE_MS);
  await watch.endTree(0, Infinity);
}

async function endsTree(watch: Watch, orders: ReceivedOrders): Promise<boolean> {
  // Without a deadline there is no command yet: where no process can be seen, there is nothing to find.
  if (orders.dueAtMs === Infinity && systemProcessTable().shows === 'none') return true;
  return watch.endTree(Math.min(orders.graceMs, msUntilDue(orders)), GIVE_UP_MS);
}

/** Reads the orders, and kills the tree when it is due. */
class Watch {
  #orders: ReceivedOrders | undefined;
  #holderEnded = false;
  #rest = '';
  #wake: () => void = () => undefined;

  constructor(
    private readonly mark: string,
    input: Readable,
  ) {
    input.setEncoding('utf8');
    input.on('data', (text: string) => this.#take(text));
    for (const end of ['end', 'close', 'error'] as const) input.on(end, () => this.#endOrders());
  }

  /** Resolves to the last orders when the holder, which has the other end of the pipe, has ended. */
  async untilHolderEnds(): Promise<ReceivedOrders | undefined> {
    while (!this.#holderEnded) {
      const leftMs = this.#orders === undefined ? Infinity : msUntilDue(this.#orders);
      if (leftMs <= 0) await this.endTree(0);
      await this.#pauseUpTo(leftMs <= 0 ? LONGEST_PAUSE_MS : leftMs);
    }
    return this.#orders;
  }

  /** SIGTERM to the tree, SIGKILL after `graceMs`. @returns whether no process is left. */
  endTree(graceMs: number, giveUpAfterKillMs?: number): Promise<boolean> {
    const killAtMs = performance.now() + Math.max(0, graceMs);
    const end = new TreeEnd(leftoverTree(this.mark, this.#orders?.child), killAtMs);
    if (giveUpAfterKillMs !== undefined) end.watchUntil(killAtMs + giveUpAfterKillMs);
    return end.run();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#orders = readOrders(line);
    this.#wake();
  }

  #endOrders(): void {
    this.#holderEnded = true;
    this.#wake();
  }

  async #pauseUpTo(ms: number): Promise<void> {
    if (this.#holderEnded) return;
    await pause(Math.min(ms, LONGEST_PAUSE_MS), (wake) => (this.#wake = wake));
  }
}

function pause(ms: number, onStart: (wake: () => void) => void = () => undefined): Promise<void> {
  return new Promise((resolve) => {
    const cancel = alarm(performance.now() + ms, resolve);
    onStart(() => {
      cancel();
      resolve();
    });
  });
}

function ignoreSignals(): void {
  for (const signal of IGNORED) process.on(signal, () => undefined);
}

/** In the guard's group, so that it ends with the guard. Without a second guard there is still the first one. */
function startSecond([file = '', ...args]: readonly string[]): void {
  ignoringErrors(() => {
    const second = spawn(file, [...args, String(process.pid)], { stdio: [3, 'ignore', 'ignore'] });
    second.on('error', () => undefined);
    closeSync(3);
  });
}

/** When memory is short, the kernel kills the guard before the command, and the holder starts another one. */
function raiseOomScore(): void {
  ignoringErrors(() => writeFileSync('/proc/self/oom_score_adj', '1000'));
}

function ignoringErrors(action: () => unknown): void {
  try {
    action();
  } catch {
    // The guard does what it can.
  }
}
