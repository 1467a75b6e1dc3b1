const fs=require('fs'),crypto=require('crypto');
const {bundleFromJSON}=require('@sigstore/bundle');
const {Verifier,toSignedEntity,toTrustMaterial}=require('@sigstore/verify');
const [,, file, keyfile]=process.argv;
const key=crypto.createPublicKey(fs.readFileSync(keyfile));
const b=bundleFromJSON(JSON.parse(fs.readFileSync(file)));
const tm=toTrustMaterial({certificateAuthorities:[],timestampAuthorities:[],tlogs:[],ctlogs:[],mediaType:''},(hint)=>({publicKey:key,validFor:()=>true}));
const v=new Verifier(tm,{tlogThreshold:0,ctlogThreshold:0,tsaThreshold:0,timestampThreshold:0});
v.verify(toSignedEntity(b));
