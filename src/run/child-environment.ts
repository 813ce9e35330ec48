import { SOCKET_VARIABLE } from './holder-socket.js';
import { applicationName, type Lease } from '../lock/lease.js';

/**
 * The child's environment: ours, plus what lets it prove and name its lease. Never the secret. PGAPPNAME makes its sessions
 * findable in pg_stat_activity; one that the child has already is left to it.
 */
export function childEnvironment(
  env: NodeJS.ProcessEnv,
  lease: Lease,
  socketPath: string | undefined,
): NodeJS.ProcessEnv {
  return {
    PGAPPNAME: applicationName(lease.instanceId),
    ...env,
    MIGRATE_LOCK_INSTANCE_ID: lease.instanceId,
    MIGRATE_LOCK_FENCING_TOKEN: String(lease.fencingToken),
    MIGRATE_LOCK_EXPIRES_AT: lease.expiresAt.toISOString(),
    ...(socketPath === undefined ? {} : { [SOCKET_VARIABLE]: socketPath }),
  };
}
