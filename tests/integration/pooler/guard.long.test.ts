import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../run/guard.long.test.js'));
