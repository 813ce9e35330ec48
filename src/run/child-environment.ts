import { SOCKET_VARIABLE } from './holder-socket.js';
import { applicationName, type Lease } from '../lock/lease.js';

const TAG = applicationName('');

/** Whether the environment has a PGAPPNAME of its own: sessions that carry it cannot be found. */
export function hasOwnApplicationName(env: NodeJS.ProcessEnv): boolean {
  return env.PGAPPNAME !== undefined && env.PGAPPNAME !== '' && !env.PGAPPNAME.startsWith(TAG);
}

/**
 * The child's environment: ours, plus what lets it prove and name its lease. Never the secret. PGAPPNAME makes its sessions
 * findable in pg_stat_activity; one that the child has already is left to it. Inside another run on another lock it
 * carries both instance ids, so that both leases find what is theirs.
 */
export function childEnvironment(
  env: NodeJS.ProcessEnv,
  lease: Lease,
  socketPath: string | undefined,
): NodeJS.ProcessEnv {
  const outer = env.PGAPPNAME?.startsWith(TAG) === true ? env.PGAPPNAME : undefined;
  return {
    ...env,
    ...(hasOwnApplicationName(env) ? {} : { PGAPPNAME: tag(outer, lease.instanceId) }),
    MIGRATE_LOCK_INSTANCE_ID: lease.instanceId,
    MIGRATE_LOCK_FENCING_TOKEN: String(lease.fencingToken),
    MIGRATE_LOCK_EXPIRES_AT: lease.expiresAt.toISOString(),
    ...(socketPath === undefined ? {} : { [SOCKET_VARIABLE]: socketPath }),
  };
}

function tag(outer: string | undefined, instanceId: string): string {
  return outer === undefined ? applicationName(instanceId) : `${outer}:${instanceId}`;
}
