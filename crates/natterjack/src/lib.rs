//! A NATS connector whose key-value watch never stalls and whose errors say what to do
