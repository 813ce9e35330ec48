/** The fields that postgres.js adds to an error: the statement and all its parameters, the lease's secret too. */
const OF_THE_QUERY = new Set(['query', 'parameters', 'args', 'types']);

/**
 * The same error without them. They are usually hidden, but error trackers read everything, and an application
 * may have set `debug`. They cannot be deleted, so the error is copied.
 */
export function withoutParameters(error: unknown): unknown {
  if (!(error instanceof Error) || !Object.hasOwn(error, 'args')) return error;
  const copy =
    error.cause === undefined ? new Error(error.message) : new Error(error.message, { cause: error.cause });
  const { stack } = error;
  if (stack !== undefined) copy.stack = stack;
  const kept = Object.entries(error).filter(([name]) => !OF_THE_QUERY.has(name) && name !== 'stack');
  return Object.assign(copy, Object.fromEntries(kept));
}
