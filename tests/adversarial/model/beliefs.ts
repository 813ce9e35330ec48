import type { Answer } from './calls.js';

interface Belief {
  token: number;
  /** On everybody's own clock, which no step moves; microseconds. */
  endsAt: number;
}

/**
 * Who may be running a child now, as far as the clients themselves know: a client counts its lease from before it sent the
 * call, on its own clock, and nobody asks the database again. Two at once are what the lock is there to prevent.
 */
export class Beliefs {
  readonly #running = new Map<string, Belief>();

  /**
   * The client's answer says that it has the lease.
   * @throws when somebody else may still be running under an earlier one.
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

  /** Its child is gone: that comes before every release. */
  giveUp(instanceId: string): void {
    this.#running.delete(instanceId);
  }

  /** The database's clock was set forward: a lease may now end there before it does on its holder's own clock. */
  doubtAll(): void {
    this.#running.clear();
  }
}
