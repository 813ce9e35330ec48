import { removeDeadSockets } from './dead-sockets.mjs';
import { startedAtMs } from './global-setup.mjs';
import { stopSharedServer } from './shared-server.mjs';

export default async function tearDown() {
  await removeDeadSockets(startedAtMs);
  await stopSharedServer();
}
