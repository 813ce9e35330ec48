import { applicationName, taggedInstances, type Lease } from '../lock/lease.js';
import { SOCKET_VARIABLE } from './holder/socket-list.js';

/** Whether the environment has a PGAPPNAME of its own: sessions that carry it cannot be found. */
export function hasOwnApplicationName({ PGAPPNAME: name }: NodeJS.ProcessEnv): boolean {
  return name !== undefined && name !== '' && taggedInstances(name).length === 0;
}

/**
 * The child's environment: ours, plus what lets it prove and name its lease. Never the secret. PGAPPNAME makes its sessions
 * findable in pg_stat_activity; one that the child has already is left to it. Inside another run on another lock it
 * carries both instance ids, so that both leases find what is theirs. `sockets` is what writeSocketList() made.
 */
export function childEnvironment(
  env: NodeJS.ProcessEnv,
  { instanceId, fencingToken, expiresAt }: Pick<Lease, 'instanceId' | 'fencingToken' | 'expiresAt'>,
  sockets: string | undefined,
): NodeJS.ProcessEnv {
  const instances = new Set([...taggedInstances(env.PGAPPNAME), instanceId]);
  return {
    ...env,
    ...(hasOwnApplicationName(env) ? {} : { PGAPPNAME: applicationName(...instances) }),
    MIGRATE_LOCK_INSTANCE_ID: instanceId,
    MIGRATE_LOCK_FENCING_TOKEN: String(fencingToken),
    MIGRATE_LOCK_EXPIRES_AT: expiresAt.toISOString(),
    [SOCKET_VARIABLE]: sockets,
  };
}
