import { applicationName, taggedInstances, type Lease } from '../lock/lease.js';
import { SOCKET_VARIABLE } from './holder/socket-list.js';

/** Whether PGAPPNAME is set to another name: sessions with that name cannot be found. */
export function hasOwnApplicationName({ PGAPPNAME: name }: NodeJS.ProcessEnv): boolean {
  return name !== undefined && name !== '' && taggedInstances(name).length === 0;
}

/**
 * The child's environment: ours, plus the variables that name its lease, without the secret. PGAPPNAME identifies its
 * sessions in pg_stat_activity; one that is already set is not replaced. Inside a run on another lock it has both instance
 * ids, so that both leases find their sessions. `sockets` is the result of writeSocketList().
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
