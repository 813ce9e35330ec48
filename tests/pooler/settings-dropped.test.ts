import { DROPS_SETTINGS } from '../harness/pooler.js';
import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../lock/settings.test.js'), { settings: DROPS_SETTINGS });
