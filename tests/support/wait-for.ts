import { setTimeout as sleep } from 'node:timers/promises';

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

/**
 * Waits until `condition` returns a truthy value, and returns that. Rejects after `limitMs` with the description and
 * the condition's last value or error. Every wait of the tests has such a limit.
 */
export async function waitFor<T>(
  description: string,
  condition: () => T | Promise<T>,
  { limitMs = 20_000, intervalMs = 20 }: { limitMs?: number; intervalMs?: number } = {},
): Promise<Truthy<T>> {
  const limit = performance.now() + limitMs;
  for (;;) {
    const last = await attempt(condition);
    if ('value' in last && last.value) return last.value as Truthy<T>;
    if (performance.now() >= limit) {
      const seen =
        'value' in last ? `last seen: ${JSON.stringify(last.value)}` : `last error: ${String(last.error)}`;
      throw new Error(`waited ${limitMs} ms in vain for: ${description} (${seen})`, {
        cause: 'error' in last ? last.error : undefined,
      });
    }
    await sleep(intervalMs);
  }
}

async function attempt<T>(condition: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await condition() };
  } catch (error) {
    return { error };
  }
}
