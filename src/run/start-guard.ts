import { Guard } from '../child/guard.js';
import type { EventStream } from '../events/event-stream.js';
import type { RunOptions } from './run-context.js';

/** The variables that the guard and its release program get. None of them contains a secret. */
const GUARD_VARIABLES = [
  ...['PATH', 'HOME', 'LANG', 'TZ'],
  ...['NODE_EXTRA_CA_CERTS', 'NODE_USE_SYSTEM_CA', 'SSL_CERT_FILE', 'SSL_CERT_DIR'],
];
/** The words of NODE_OPTIONS that the guard gets too: which authorities the release trusts. Others could run other code in it. */
const TRUST = /^--use-(?:openssl|system|bundled)-ca$/;

/** Starts the guard of a run, and emits its events. */
export function startGuard(options: RunOptions, mark: string, { emit }: EventStream): Guard {
  let restarts = 0;
  return new Guard({
    mark,
    releaseProgram: options.releaseProgram,
    ownGuard: options.ownGuard,
    env: guardEnvironment(options.env),
    on: (event) => {
      if (event.type === 'restarted') emit({ event: 'guard.restarted', restarts: ++restarts });
      else emit({ event: 'guard.absent', reason: event.reason });
    },
  });
}

function guardEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const trust = (env.NODE_OPTIONS ?? '').split(/\s+/).filter((word) => TRUST.test(word));
  return {
    ...Object.fromEntries(GUARD_VARIABLES.map((name) => [name, env[name]])),
    ...(trust.length > 0 ? { NODE_OPTIONS: trust.join(' ') } : {}),
  };
}
