import { alarm } from '../child/alarm.js';
import type { Guard } from '../child/guard.js';
import { startChild, type ChildEnd, type ChildHappening, type RunningChild } from '../child/supervise.js';
import type { EventStream } from '../event-stream.js';
import type { LockCalls } from '../lock/calls.js';
import type { Identity, Lease } from '../lock/lease.js';
import { marginMs } from '../lock/margin.js';
import { redactCommand } from '../redact/command.js';
import { childEnvironment } from './child-environment.js';
import { openHolderSocket, type HolderAnswer, type HolderRequest } from './holder-socket.js';
import { writeWill } from './last-will.js';
import type { RunOptions } from './run.js';
import type { SignalDesk } from './signals.js';
import { watchStandstill } from './standstill.js';
import { childTimes } from './timeline.js';

/** The part of the lease after which people are warned that it will be over. */
const WARN_AFTER = 0.8;

/** Runs the child under a lease that is held: its deadline, its guard, its wishes. */
export class UnderLease {
  readonly #options: RunOptions;
  readonly #calls: LockCalls;
  readonly #me: Identity;
  readonly #events: EventStream;
  readonly #guard: Guard;
  #lease: Lease;
  #child: RunningChild | undefined;
  #stopWarning: () => void = () => undefined;

  constructor(
    options: RunOptions,
    calls: LockCalls,
    me: Identity,
    events: EventStream,
    guard: Guard,
    lease: Lease,
  ) {
    this.#options = options;
    this.#calls = calls;
    this.#me = me;
    this.#events = events;
    this.#guard = guard;
    this.#lease = lease;
  }

  /** The lease as it is now: it may have been extended. */
  get lease(): Lease {
    return this.#lease;
  }

  /**
   * Starts the child and waits until its whole tree is gone. Signals are handed to it.
   * @throws {MigrateLockError} when it could not be started; nothing of it is left then.
   */
  async run(file: string, desk: SignalDesk, forwarded: Set<NodeJS.Signals>): Promise<ChildEnd> {
    const { command, args, env, killGraceMs, childStdout } = this.#options;
    const early: NodeJS.Signals[] = [];
    desk.handTo((signal) => early.push(signal));
    // The guard has its orders before there is a child.
    this.#guard.order({
      killAtMs: this.#guardKillsAtMs(),
      killGraceMs,
      will: writeWill(this.#options.connection, this.#calls, this.#me, this.#lease),
    });
    const [socket] = await Promise.all([
      openHolderSocket((request) => this.#answer(request)),
      this.#guard.ready,
    ]);
    const stopWatching = watchStandstill((sleptMs) => this.#sleptFor(sleptMs));
    try {
      const child = await startChild({
        file,
        command,
        args,
        env: childEnvironment(env, this.#lease, socket?.path),
        instanceId: this.#me.instanceId,
        stdio: [0, childStdout === 'stdout' ? 1 : 2, 2],
        timeline: this.#timeline(),
        killGraceMs,
        guard: this.#guard,
        on: (happening) => this.#tellOfChild(happening),
      });
      this.#child = child;
      this.#warnInTime();
      const forward = (signal: NodeJS.Signals): void => {
        forwarded.add(signal);
        child.forward(signal);
      };
      early.forEach(forward);
      desk.handTo(forward);
      return await child.ended;
    } finally {
      this.#stopWarning();
      stopWatching();
      socket?.close();
    }
  }

  #timeline(): { termAtMs: number; killAtMs: number } {
    const { termBeforeEndMs, killBeforeEndMs } = childTimes(this.#options.ttlMs, this.#options.killGraceMs);
    return {
      termAtMs: this.#lease.endsAtMs - termBeforeEndMs,
      killAtMs: this.#lease.endsAtMs - killBeforeEndMs,
    };
  }

  #guardKillsAtMs(): number {
    return this.#lease.endsAtMs - marginMs(this.#options.ttlMs);
  }

  #answer({ ttlMs }: HolderRequest): Promise<HolderAnswer> {
    return this.#extend(ttlMs);
  }

  /** The database first: a guard that knew of a later end than the database would kill too late. */
  async #extend(ttlMs: number): Promise<HolderAnswer> {
    const tooLate: HolderAnswer = {
      ok: false,
      code: 'TOO_LATE',
      message: 'the command has reached its deadline',
    };
    if (performance.now() >= this.#timeline().termAtMs) return tooLate;
    try {
      const answer = await this.#calls.extend(this.#me, ttlMs);
      if (answer.outcome === 'refused') {
        return { ok: false, code: 'REFUSED', message: 'the lease is over, or somebody else has it' };
      }
      const before = this.#lease;
      this.#lease = { ...answer.lease, endsAtMs: Math.max(before.endsAtMs, answer.lease.endsAtMs) };
      if (this.#child?.moveTimeline(this.#timeline()) === false) {
        this.#lease = before;
        return tooLate;
      }
      this.#guard.moveDeadline(this.#guardKillsAtMs());
      this.#warnInTime();
      const expiresAt = this.#lease.expiresAt.toISOString();
      this.#events.emit({ event: 'lease.extended', ttlMs, expiresAt });
      return { ok: true, expiresAt };
    } catch (error) {
      return { ok: false, code: 'DATABASE', message: error instanceof Error ? error.message : String(error) };
    }
  }

  #warnInTime(): void {
    this.#stopWarning();
    this.#stopWarning = alarm(this.#lease.endsAtMs - this.#options.ttlMs * (1 - WARN_AFTER), () => {
      const nowMs = performance.now();
      this.#events.emit({
        event: 'lease.expiring',
        expiresInMs: Math.max(0, Math.round(this.#lease.endsAtMs - nowMs)),
        deadlineMs: Math.max(0, Math.round(this.#timeline().termAtMs - nowMs)),
      });
    });
  }

  /** The machine slept: that counted for the lease, but not on our clock. What is due then is done at once. */
  #sleptFor(sleptMs: number): void {
    this.#lease = { ...this.#lease, endsAtMs: this.#lease.endsAtMs - sleptMs };
    this.#child?.moveTimeline(this.#timeline());
    this.#warnInTime();
  }

  #tellOfChild(happening: ChildHappening): void {
    const { command, args, ttlMs } = this.#options;
    const { emit } = this.#events;
    switch (happening.type) {
      case 'started':
        return emit({
          event: 'child.started',
          childPid: happening.pid,
          command: redactCommand([command, ...args]),
          deadlineMs: Math.round(this.#timeline().termAtMs - performance.now()),
        });
      case 'exited': {
        const { exitCode, signal, durationMs } = happening;
        return emit({ event: 'child.exited', exitCode, signal, durationMs: Math.round(durationMs) });
      }
      case 'deadline':
        return emit({ event: 'child.deadline', ttlMs, ranMs: Math.round(happening.ranMs) });
      case 'leftover':
        return emit({ event: 'child.leftover', count: happening.count });
    }
  }
}
