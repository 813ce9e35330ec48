import { isDeepStrictEqual } from 'node:util';
import { expect } from '@jest/globals';
import { nanoid } from 'nanoid';
import { executeAttack } from './attack.js';
import { Beliefs } from './beliefs.js';
import {
  isOutcome,
  type Answer,
  type Caller,
  type ModelClient,
  type ReleaseRequest,
  type Tables,
} from './calls.js';
import { LockModel } from './lock-model.js';
import type { Hashes, RealLock } from './real-lock.js';
import { CLIENTS, LAST_HOLDER, type OtherWork, type Step, type Who } from './steps.js';

/** Far enough from the clock's zero for any number of steps back. */
const START_US = 1e12;

interface Client {
  description: ModelClient;
  /** The newest first. Like the product, it uses a new one for each acquisition. */
  identities: Caller[];
  seen: { token: number; endsAt: number } | null;
}

/** Takes the steps on the real functions and in the model, and compares every answer and every table. */
export async function execute(steps: readonly Step[], real: RealLock, attacker: RealLock): Promise<void> {
  const { dbRole, lastToken } = await real.startOver();
  const run = new Run(real, attacker, new LockModel(dbRole, lastToken));
  for (const [index, step] of steps.entries()) {
    try {
      await run.take(step);
    } catch (error) {
      throw new Error(`step ${index}, ${JSON.stringify(step)}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

class Run {
  readonly #name = nanoid();
  readonly #beliefs = new Beliefs();
  readonly #clients: Client[];
  #identitiesMade = 0;
  /** The clients' clock, and the offset of the database's clock; microseconds. */
  #passed = 0;
  #ahead = START_US;

  constructor(
    readonly real: RealLock,
    readonly attacker: RealLock,
    readonly model: LockModel,
  ) {
    this.#clients = Array.from({ length: CLIENTS }, (_, n) => ({
      description: {
        host: `host-${n}`,
        pid: n + 1,
        command: `migration ${n}`,
        commandSha256: 'sha',
        runKey: n === 0 ? null : 'key',
      },
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
      case 'step back behind the end':
        if (model.lease !== null) {
          this.#ahead = Math.min(this.#ahead, model.lease.expiresAt - step.byUs - this.#passed);
        }
        return;
      case 'crash': {
        const client = this.#client(step.client);
        client.identities.unshift(this.#newIdentity());
        client.seen = null;
        return;
      }
      case 'poll':
      case 'release':
      case 'leave':
      case 'extend':
      case 'assert':
      case 'cleanup':
      case 'status':
      case 'look':
      case 'watch':
      case 'attack':
        model.now = this.#passed + this.#ahead;
        await this.#call(step);
    }
  }

  async #call(
    step: Exclude<
      Step,
      { do: 'wait' | 'wait for the end' | 'step the clock' | 'step back behind the end' | 'crash' }
    >,
  ): Promise<void> {
    const { model, real } = this;
    switch (step.do) {
      case 'poll':
        return this.#poll(step);
      case 'release': {
        const me = this.#who(step.who, step.isForged);
        const request = releaseRequest(step);
        const answer = model.release(me, request);
        this.#isOver(step, me, answer);
        return this.#compare(() => real.release(me, request), answer);
      }
      case 'leave': {
        const me = this.#who(step.who, step.isForged);
        const answer = model.leave(me);
        this.#isOver(step, me, answer);
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
      case 'look': {
        const { failureMemoryMs } = step;
        const request = { client: described(this.#client(step.client), step.otherWork), failureMemoryMs };
        return this.#compare(() => real.look(request), model.look(request));
      }
      case 'watch': {
        const predicted = model.watch(step);
        return predicted === null ? undefined : this.#compare(() => real.watch(step), predicted);
      }
      case 'attack':
        return this.#attack(step);
    }
  }

  async #poll(step: Extract<Step, { do: 'poll' }>): Promise<void> {
    const { model, real } = this;
    const client = this.#client(step.who.client);
    const me = this.#who(step.who, step.isForged);
    const { seen } = client;
    const respect = step.isRespectful && seen !== null && this.#passed < seen.endsAt ? seen.token : null;
    const { ttlMs, isLast, pollIntervalMs, failureMemoryMs } = step;
    const work = described(client, step.otherWork);
    const request = { ttlMs, isLast, pollIntervalMs, failureMemoryMs, respect, client: work };
    if (step.fate === 'rolledBack') {
      return this.#compare(
        () => rolledBack(real, () => real.poll(me, request)),
        model.pollRolledBack(me, request),
        { isKept: false },
      );
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

  async #attack({ calls }: Extract<Step, { do: 'attack' }>): Promise<void> {
    const { attacker, real: observer, model } = this;
    for (const { who, attack } of calls) {
      if (!model.isHeld) return;
      const target = { ...this.#who(who, false), token: model.lease?.token ?? 1 };
      await executeAttack(attack, target, { attacker, observer, model });
    }
  }

  async #compare(call: () => Promise<Answer>, predicted: Answer, { isKept = true } = {}): Promise<void> {
    const { real, model } = this;
    // One after the other on one connection, sent together.
    const [, answer, { tables, hashes }] = await Promise.all([
      real.setClock(model.now),
      call(),
      real.observe(),
    ]);
    expectSame(withoutHashes(answer, isKept ? hashes : null), predicted);
    expectSound(tables);
    expectSame(tables, model.tables());
  }

  /** A client has ended its child before it asks for a release, for any answer. */
  #isOver({ who, isForged }: { who: Who; isForged: boolean }, me: Caller, answer: Answer): void {
    if (isOutcome(answer, 'released')) this.#beliefs.giveUp(me.instanceId);
    if (isForged || isOutcome(answer, 'left')) return;
    this.#beliefs.giveUp(me.instanceId);
    if (who.age === 0) this.#client(who.client).identities.unshift(this.#newIdentity());
  }

  #who({ client, age }: Who, isForged: boolean): Caller {
    const { identities } = this.#client(client);
    const asked = identities.at(Math.min(Math.max(age, 0), identities.length - 1));
    const me = age === LAST_HOLDER ? (this.model.lease ?? asked) : asked;
    if (me === undefined) throw new Error('a client without an identity');
    return { instanceId: me.instanceId, secret: isForged ? 'guessed' : me.secret };
  }

  #client(n: number): Client {
    const client = this.#clients[n];
    if (client === undefined) throw new Error(`there is no client ${n}`);
    return client;
  }

  #newIdentity(): Caller {
    const n = this.#identitiesMade++;
    return { instanceId: `${this.#name}-${n}`, secret: `secret ${n}` };
  }
}

function described({ description }: Client, otherWork: OtherWork): ModelClient {
  return {
    ...description,
    ...(otherWork === 'key' ? { runKey: 'other' } : {}),
    ...(otherWork === 'command' ? { commandSha256: 'other' } : {}),
  };
}

const HASHED: Record<string, string> = {
  acquired: 'lock.acquired',
  released: 'lock.released',
  already_released: 'lock.released',
  extended: 'lease.extended',
};

/** Each answer about a change has the hash of its row in the history. */
function withoutHashes(answer: Answer, hashes: Hashes | null): Answer {
  if (answer === '' || !('auditHash' in answer)) return answer;
  const { auditHash, ...rest } = answer;
  const takeover = rest.takeover as { auditHash: string } | null | undefined;
  const { auditHash: hashOfTakeover, ...told } = takeover ?? { auditHash: null };
  if (hashes !== null) {
    expect(hashes[String(auditHash)]).toMatch(new RegExp(`^${HASHED[String(answer.outcome)] ?? 'nothing'} `));
    if (hashOfTakeover !== null) expect(hashes[hashOfTakeover]).toMatch(/^lock.takeover /);
  }
  if (takeover == null) return rest;
  return { ...rest, takeover: told };
}

/** jest's comparison is slow, and used only for its message. */
function expectSame(actual: unknown, predicted: unknown): void {
  if (!isDeepStrictEqual(actual, predicted)) expect(actual).toStrictEqual(predicted);
}

/** The properties of every state, independent of the model. */
function expectSound({ leases, audit }: Tables): void {
  expect(leases.length).toBeLessThanOrEqual(1);
  for (const lease of leases) {
    expect(lease.expiresAt).toBeGreaterThan(lease.lockedAt);
    if (lease.releasedAt !== null) expect(lease.expiresAt).toBeLessThanOrEqual(lease.releasedAt);
  }
  const tokens = audit.filter(({ event }) => event === 'lock.acquired').map(({ token }) => Number(token));
  for (const [n, token] of tokens.entries()) if (n > 0) expect(token).toBeGreaterThan(tokens[n - 1] ?? 0);
}

function releaseRequest(step: Extract<Step, { do: 'release' }>): ReleaseRequest {
  const { by, work, end: kind, isRecovered: recovered } = step;
  // The guard does not know the work's result.
  if (by === 'guard') return { by, end: { kind, recovered }, work: null };
  const exitCode = work === 'failed' ? 3 : 0;
  const end = { kind, recovered, exitCode };
  if (work === 'unknown') return { by, end, work: null };
  return { by, end, work: { succeeded: work === 'done', exitCode, durationMs: 12 } };
}

/** Sent together with the statements before and after it on the connection. */
async function rolledBack(real: RealLock, call: () => Promise<Answer>): Promise<Answer> {
  const [, answer] = await Promise.all([real.begin(), call(), real.finish('ROLLBACK')]);
  return answer;
}

/** Waiters that arrived in the same microsecond have no order, and nor have ends. */
function inOrder(answer: Answer): Answer {
  if (answer === '' || !('waiters' in answer)) return answer;
  const waiters = [...(answer.waiters as { instanceId: string; waitingMs: number }[])];
  waiters.sort((a, b) => b.waitingMs - a.waitingMs || a.instanceId.localeCompare(b.instanceId));
  const uncleanEnds = [...(answer.uncleanEnds as Record<string, unknown>[])];
  const order = (end: Record<string, unknown>): string =>
    [end.endedAtMs, end.lockedAtMs, end.instanceId, end.kind].join(' ');
  uncleanEnds.sort((a, b) => order(a).localeCompare(order(b)));
  return { ...answer, waiters, uncleanEnds };
}
