import { Guard } from '../child/guard.js';
import type { EventStream } from '../events/event-stream.js';
import type { RunOptions } from './run-context.js';

/** The variables that the guard and its release program get. None of them contains a secret. */
const GUARD_VARIABLES = [
  ...['PATH', 'HOME', 'LANG', 'TZ'],
  ...['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'],
];

/** Starts the guard of a run, and emits its events. */
export function startGuard(options: RunOptions, mark: string, { emit }: EventStream): Guard {
  let restarts = 0;
  return new Guard({
    mark,
    releaseProgram: options.releaseProgram,
    ownGuard: options.ownGuard,
    env: Object.fromEntries(GUARD_VARIABLES.map((name) => [name, options.env[name]])),
    on: (event) => {
      if (event.type === 'restarted') emit({ event: 'guard.restarted', restarts: ++restarts });
      else emit({ event: 'guard.absent', reason: event.reason });
    },
  });
}
