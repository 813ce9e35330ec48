/** System limits, which a retry does not change. */
const LIMITS: Partial<Record<string, string>> = {
  EMFILE: 'The limit on the number of open files is reached (ulimit -n).',
  ENFILE: 'The whole system has no room for another open file.',
  EAGAIN: 'The limit on the number of processes is reached (ulimit -u).',
  ENOMEM: 'There is not enough memory.',
  ENOSPC: 'There is no space left.',
};

/** A sentence about the limit that caused an error; undefined when it was another cause. */
export function reachedLimit(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? LIMITS[error.code] : undefined;
}
