mod rds;
