import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../cli/status.test.js'));
