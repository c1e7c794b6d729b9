// The page in place of a model's, where no registered model has the name in the address.

import "./shell.js";
