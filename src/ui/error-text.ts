import { MigrateLockError } from '../errors.js';
import { reachedLimit } from '../system/limits.js';

/** An error as it is shown, without a stack trace. An error that is neither ours nor the system's is a defect. */
export function formatError(error: unknown): { text: string; hint: string | undefined } {
  if (error instanceof MigrateLockError) return { text: error.message, hint: error.hint };
  const reason = error instanceof Error ? error.message || error.name : String(error);
  const limit = reachedLimit(error);
  if (limit !== undefined) return { text: reason, hint: limit };
  return {
    text: `internal error: ${reason}`,
    hint: 'This is a defect in migrate-lock. Please report it, with this line and the steps that led to it.',
  };
}
