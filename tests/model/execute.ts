import { expect } from '@jest/globals';
import { nanoid } from 'nanoid';
import { Beliefs } from './beliefs.js';
import { LockModel, type Answer, type Caller, type ModelClient } from './lock-model.js';
import type { RealLock, Tables } from './real-lock.js';
import { CLIENTS, type Step, type Who } from './steps.js';

/** Long enough after the clock's zero for any number of steps back. */
const START_US = 1e12;

interface Client {
  description: ModelClient;
  /** The newest first. Like the product, it takes a new one for each acquisition. */
  identities: Caller[];
  seen: { token: number; endsAt: number } | null;
}

/** Takes the steps on the real functions and in the model, and holds every answer and every table against each other. */
export async function execute(steps: readonly Step[], real: RealLock): Promise<void> {
  const { dbRole, lastToken } = await real.startOver();
  const run = new Run(real, new LockModel(dbRole, lastToken));
  for (const [index, step] of steps.entries()) {
    try {
      await run.take(step);
    } catch (error) {
      throw new Error(`step ${index}, ${JSON.stringify(step)}: ${(error as Error).message}`, { cause: error });
    }
  }
}

class Run {
  readonly #name = nanoid();
  readonly #beliefs = new Beliefs();
  readonly #clients: Client[];
  #identitiesMade = 0;
  /** Everybody's own clock, and what the database's clock is ahead of it; microseconds. */
  #passed = 0;
  #ahead = START_US;

  constructor(
    readonly real: RealLock,
    readonly model: LockModel,
  ) {
    this.#clients = Array.from({ length: CLIENTS }, (_, n) => ({
      description: { host: `host-${n}`, pid: n + 1, command: `migration ${n}`, runKey: n === 0 ? null : 'key' },
      identities: [this.#newIdentity()],
      seen: null,
    }));
  }

  async take(step: Step): Promise<void> {
    const { model } = this;
    switch (step.do) {
      case 'wait':
        this.#passed += step.ms * 1000;
        return;
      case 'wait for the end': {
        const end = (model.lease?.expiresAt ?? 0) + step.plusUs - this.#ahead;
        this.#passed = Math.max(this.#passed, end);
        return;
      }
      case 'step the clock':
        this.#ahead += step.ms * 1000;
        if (step.ms > 0) this.#beliefs.doubtAll();
        return;
      case 'crash': {
        const client = this.#client(step.client);
        client.identities.unshift(this.#newIdentity());
        client.seen = null;
        return;
      }
      default:
        model.now = this.#passed + this.#ahead;
        await this.#call(step);
    }
  }

  async #call(step: Exclude<Step, { do: 'wait' | 'wait for the end' | 'step the clock' | 'crash' }>): Promise<void> {
    const { model, real } = this;
    switch (step.do) {
      case 'poll':
        return this.#poll(step);
      case 'release': {
        const me = this.#who(step.who, step.isForged);
        const details = step.by === 'guard' ? { by: 'guard' } : { exitCode: 0 };
        const answer = model.release(me, details);
        this.#isOver(step.who, me, answer);
        return this.#compare(() => real.release(me, details), answer);
      }
      case 'leave': {
        const me = this.#who(step.who, step.isForged);
        const answer = model.leave(me);
        this.#isOver(step.who, me, answer);
        return this.#compare(() => real.leave(me), answer);
      }
      case 'extend': {
        const me = this.#who(step.who, step.isForged);
        const predicted = model.extend(me, step.ttlMs);
        await this.#compare(() => real.extend(me, step.ttlMs), predicted);
        if (isOutcome(predicted, 'extended')) this.#beliefs.hold(me.instanceId, predicted, this.#passed);
        return;
      }
      case 'assert': {
        const { instanceId } = this.#who(step.who, false);
        const token = (model.lease?.token ?? 1) + step.tokenOffset;
        return this.#compare(() => real.assertHeld(instanceId, token), model.assertHeld(instanceId, token));
      }
      case 'cleanup':
        return this.#compare(() => real.cleanup(), model.cleanup());
      case 'status':
        return this.#compare(async () => inOrder(await real.status()), inOrder(model.status()));
    }
  }

  async #poll(step: Extract<Step, { do: 'poll' }>): Promise<void> {
    const { model, real } = this;
    const client = this.#client(step.who.client);
    const me = this.#who(step.who, step.isForged);
    const { seen } = client;
    const respect = step.isRespectful && seen !== null && this.#passed < seen.endsAt ? seen.token : null;
    const { ttlMs, isLast, pollIntervalMs } = step;
    const request = { ttlMs, isLast, pollIntervalMs, respect, client: client.description };
    if (step.fate === 'rolledBack') {
      const attempt = model.pollRolledBack(me, request);
      await this.#compare(() => real.rolledBack(() => real.poll(me, request)), attempt);
      return;
    }
    const predicted = model.poll(me, request);
    await this.#compare(() => real.poll(me, request), predicted);
    if (step.fate === 'lost') return;
    if (isOutcome(predicted, 'acquired')) this.#beliefs.hold(me.instanceId, predicted, this.#passed);
    if (isOutcome(predicted, 'held')) {
      const { fencingToken, expiresInMs } = predicted.holder as { fencingToken: number; expiresInMs: number };
      client.seen = { token: fencingToken, endsAt: this.#passed + expiresInMs * 1000 };
    }
  }

  async #compare(call: () => Promise<Answer>, predicted: Answer | ''): Promise<void> {
    const { real, model } = this;
    // One after the other on one connection, sent together.
    const [, answer, tables] = await Promise.all([real.setClock(model.now), call(), real.observe()]);
    expect(answer).toStrictEqual(predicted);
    expectSound(tables, model.now);
    expect(tables).toStrictEqual(model.tables());
  }

  #isOver({ client, age }: Who, me: Caller, answer: Answer): void {
    if (isOutcome(answer, 'refused')) return;
    this.#beliefs.giveUp(me.instanceId);
    if (age === 0 && !isOutcome(answer, 'left')) this.#client(client).identities.unshift(this.#newIdentity());
  }

  #who({ client, age }: Who, isForged: boolean): Caller {
    const { identities } = this.#client(client);
    const me = identities[Math.min(age, identities.length - 1)] as Caller;
    return isForged ? { instanceId: me.instanceId, secret: 'guessed' } : me;
  }

  #client(n: number): Client {
    return this.#clients[n] as Client;
  }

  #newIdentity(): Caller {
    const n = this.#identitiesMade++;
    return { instanceId: `${this.#name}-${n}`, secret: `secret ${n}` };
  }
}

/** What no state may break, whatever the model says. */
function expectSound({ leases, audit }: Tables, now: number): void {
  expect(leases.length).toBeLessThanOrEqual(1);
  for (const lease of leases) {
    expect(lease.expiresAt).toBeGreaterThan(lease.lockedAt);
    if (lease.releasedAt !== null) expect(lease.releasedAt).toBeLessThanOrEqual(Math.max(now, lease.releasedAt));
  }
  const tokens = audit.filter(({ event }) => event === 'lock.acquired').map(({ token }) => Number(token));
  for (const [n, token] of tokens.entries()) if (n > 0) expect(token).toBeGreaterThan(tokens[n - 1] ?? 0);
}

function isOutcome(answer: Answer, outcome: string): answer is Record<string, unknown> {
  return 'outcome' in answer && answer.outcome === outcome;
}

/** Those who arrived in the same microsecond come in any order. */
function inOrder(answer: Answer): Answer {
  if (!('waiters' in answer)) return answer;
  const waiters = [...(answer.waiters as { instanceId: string; waitingMs: number }[])];
  waiters.sort((a, b) => b.waitingMs - a.waitingMs || a.instanceId.localeCompare(b.instanceId));
  return { ...answer, waiters };
}
