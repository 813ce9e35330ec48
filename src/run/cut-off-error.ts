import { MigrateLockError } from '../errors.js';

/** The command ended with 0, but `--max-block` had cancelled or ended a session of it: not all of its work is done. */
export class CutOffError extends MigrateLockError {
  override readonly name = 'CutOffError';

  constructor() {
    super('the command ended with 0, but a statement of it was ended because it blocked others', {
      code: 'COMMAND_CUT_OFF',
      exit: 'cutOff',
      hint:
        'Run it again when no long transaction is in its way. More tries under one lease: --retries 5, with a --ttl that leaves them time. ' +
        'Better: a lock_timeout and smaller steps in the migration.',
    });
  }
}
