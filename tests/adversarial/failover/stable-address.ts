import type { EmbeddedServer } from '../../support/embedded-server.mjs';
import { startRelay, type Relay } from '../../support/relay.js';

/** One address for the current primary, like a virtual IP or a proxy. */
export interface StableAddress {
  relay: Relay;
  /** Leads to this server from now on; connections to the former one are reset. */
  leadTo: (server: EmbeddedServer) => void;
}

export async function openStableAddress(server: EmbeddedServer): Promise<StableAddress> {
  // The relay reads its target for each connection.
  const target = { host: server.host, port: server.port };
  const relay = await startRelay(target);
  return {
    relay,
    leadTo: ({ port }) => {
      target.port = port;
      relay.cut();
    },
  };
}
