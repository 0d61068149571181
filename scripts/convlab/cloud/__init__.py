"""AWS SageMaker: a training job, an endpoint, and nothing of either afterwards. None of it has run on AWS itself."""
