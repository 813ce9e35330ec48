import type { EndDetails } from '../../../src/lock/calls.js';
import type { ModelClient, Tables } from './calls.js';
import { CLOCK_BASE_MS } from './model-schema.js';

export type EndKind = NonNullable<EndDetails['kind']> | 'expired' | 'unlocked';

interface EndedLease {
  instanceId: string;
  client: ModelClient;
  /** Microseconds. */
  lockedAt: number;
}

interface UncleanEnd extends EndedLease {
  kind: EndKind;
  endedAt: number;
}

const ms = (us: number): number => CLOCK_BASE_MS + Math.floor(us / 1000);

/** How the last lease of each command ended, where that was unclean. */
export class EndsModel {
  #ends = new Map<string, UncleanEnd>();

  copy(): EndsModel {
    const copy = new EndsModel();
    copy.#ends = new Map(this.#ends);
    return copy;
  }

  /** `kind` null: no command was started under the lease. */
  store(
    { instanceId, client, lockedAt }: EndedLease,
    kind: EndKind | null,
    { succeeded = false, recovered = false }: { succeeded?: boolean; recovered?: boolean },
    now: number,
  ): void {
    const { commandSha256 } = client;
    if (recovered || (kind === 'clean' && succeeded)) this.#ends.delete(commandSha256);
    if (kind === null || kind === 'clean') return;
    const known = this.#ends.get(commandSha256);
    const since = Math.min(lockedAt, known?.lockedAt ?? lockedAt);
    // unlock() does not end the command: what follows does not hide that.
    const shown = known?.kind === 'unlocked' ? known : { kind, instanceId };
    this.#ends.set(commandSha256, { ...shown, client, lockedAt: since, endedAt: now });
  }

  has({ commandSha256 }: ModelClient): boolean {
    return this.#ends.has(commandSha256);
  }

  of({ commandSha256 }: ModelClient): Record<string, unknown> | null {
    const end = this.#ends.get(commandSha256);
    return end === undefined ? null : shown(end);
  }

  /** In no order. */
  list(): Record<string, unknown>[] {
    return [...this.#ends.values()].map(shown);
  }

  /** Of the commands of a run key: the ones that ended last. More than one ended in the same microsecond. */
  lastOf(runKey: string, isOther: (commandSha256: string) => boolean): Record<string, unknown>[] {
    const ends = [...this.#ends.values()].filter(
      ({ client }) => client.runKey === runKey && isOther(client.commandSha256),
    );
    const last = Math.max(...ends.map(({ endedAt }) => endedAt));
    return ends.filter(({ endedAt }) => endedAt === last).map(shown);
  }

  table(): Tables['ends'] {
    return Object.fromEntries(
      [...this.#ends].map(([command, { kind, instanceId, client, lockedAt, endedAt }]) => [
        command,
        { kind, instanceId, runKey: client.runKey, lockedAt, endedAt },
      ]),
    );
  }
}

function shown({ kind, instanceId, client, lockedAt, endedAt }: UncleanEnd): Record<string, unknown> {
  return { kind, instanceId, command: client.command, lockedAtMs: ms(lockedAt), endedAtMs: ms(endedAt) };
}
