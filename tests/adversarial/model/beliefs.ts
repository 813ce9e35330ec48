import type { Answer } from './calls.js';

interface Belief {
  token: number;
  /** On a clock that no step moves; microseconds. */
  endsAt: number;
}

/**
 * Which clients may be running a child, by their own knowledge: a client counts its lease from before it sent the
 * call, on its own clock. Two at once are what the lock must prevent.
 */
export class Beliefs {
  readonly #running = new Map<string, Belief>();

  /**
   * The client's answer says that it has the lease.
   * @throws when another client may still be running under an earlier one.
   */
  hold(instanceId: string, answer: Answer, sentAt: number): void {
    const lease = (answer as { lease: { fencingToken: number; expiresInMs: number } }).lease;
    for (const [other, belief] of this.#running) {
      if (other === instanceId && belief.token === lease.fencingToken) continue;
      if (belief.token >= lease.fencingToken) {
        throw new Error(
          `token ${lease.fencingToken} of ${instanceId} came after ${belief.token} of ${other}`,
        );
      }
      if (belief.endsAt > sentAt) {
        throw new Error(
          `${instanceId} has the lease while ${other} may run for ${belief.endsAt - sentAt} µs`,
        );
      }
    }
    this.#running.set(instanceId, { token: lease.fencingToken, endsAt: sentAt + lease.expiresInMs * 1000 });
  }

  /** Its child has ended, as before every release. */
  giveUp(instanceId: string): void {
    this.#running.delete(instanceId);
  }

  /** The database's clock was set forward: a lease may now end there before it ends on its holder's clock. */
  doubtAll(): void {
    this.#running.clear();
  }
}
